package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"

	"fettle"
)

// account is whom the service runs as: Windows makes it with the service, it has
// no password, and owns nothing but what it is given.
const account = `NT SERVICE\` + Name

// registryKey is where Windows keeps the service, for everybody to read.
const registryKey = `SYSTEM\CurrentControlSet\Services\` + Name

// Restarts after it died. The count begins anew after a day without.
const (
	restartAfter = 5 * time.Second
	forgetAfter  = 24 * time.Hour
)

// How long Windows is waited for. A folder of an older version is taken over
// before the service is ready.
const (
	readyWithin = 15 * time.Minute
	endWithin   = time.Minute
	lookEvery   = 200 * time.Millisecond
)

type serviceManager struct{ say Say }

// Here is the manager of this system. What it does, it says.
func Here(say Say) Manager { return serviceManager{say} }

func (serviceManager) Usual() Spec {
	programs, data := os.Getenv("ProgramFiles"), filepath.Join(os.Getenv("ProgramData"), Name)
	return Spec{Program: filepath.Join(programs, Name, Name+".exe"), Config: filepath.Join(data, Name+".yaml"), Data: filepath.Join(data, "data")}
}

func (serviceManager) Installed() (Spec, error) {
	e, err := readEntry()
	if err != nil {
		return Spec{}, err
	}
	command, err := windows.DecomposeCommandLine(e.command)
	if err != nil {
		return Spec{}, fmt.Errorf("read the service's command %s: %w", e.command, err)
	}
	return specOfArgs(command), nil
}

// An entry is a service as Windows' registry has it.
type entry struct {
	command, account string
	start            uint64 // mgr.StartAutomatic, say
}

// readEntry reads the service's; NotFound if there is none.
func readEntry() (e entry, err error) {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, registryKey, registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return entry{}, notInstalled()
	}
	if err != nil {
		return entry{}, fmt.Errorf("look for the service: %w", err)
	}
	defer key.Close()
	e.command, _, err = key.GetStringValue("ImagePath")
	if err == nil {
		e.account, _, err = key.GetStringValue("ObjectName")
	}
	if err == nil {
		e.start, _, err = key.GetIntegerValue("Start")
	}
	if err != nil {
		return entry{}, fmt.Errorf("look for the service: %w", err)
	}
	return e, nil
}

func (serviceManager) Preview(s Spec) string {
	return fmt.Sprintf("Service      %s (%s)\nRuns         %s\nAs           %s\nStarts       with the computer; again %s after it died\nMay write    %s\n",
		Name, displayName, commandLine(s), account, restartAfter, filepath.Dir(s.Data))
}

// args are what Windows starts the program with: it is told that it is a service.
func args(s Spec) []string { return append(s.args(), "--kept") }

func commandLine(s Spec) string {
	return windows.ComposeCommandLine(append([]string{s.Program}, args(s)...))
}

func (m serviceManager) Install(ctx context.Context, s Spec) error {
	if err := s.check(); err != nil {
		return err
	}
	if len(s.Writes) > 0 {
		return fettle.BadField("wrong value", "--writes", s.Writes[0], fmt.Sprintf("nothing: on Windows, icacls \"%s\" /grant \"%s:(OI)(CI)M\" lets the service write there", s.Writes[0], account))
	}
	manager, err := m.connect("install")
	if err != nil {
		return err
	}
	defer disconnect(manager)
	if old, err := manager.OpenService(Name); err == nil { // its program cannot be replaced while it runs
		err := errors.Join(m.end(ctx, old), old.Close())
		if err != nil {
			return err
		}
	}
	if err := copyProgram(s.Program, m.say); err != nil {
		return err
	}
	if err := m.makeFolders(s); err != nil {
		return err
	}
	one, err := m.put(manager, s)
	if err != nil {
		return err
	}
	defer one.Close()
	return m.begin(ctx, one, "started")
}

// makeFolders makes the folders of settings and data, which only the service and
// administrators may open: what the data folder holds opens the server.
func (m serviceManager) makeFolders(s Spec) error {
	for _, dir := range []string{filepath.Dir(s.Config), s.Data} {
		if exists(dir) {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the folder of the service: %w", err)
		}
		if err := restrict(dir); err != nil {
			return err
		}
		m.say("made %s, for the service and administrators only", dir)
	}
	if exists(s.Config) {
		return nil
	}
	if err := writeWhole(s.Config, 0o600, strings.NewReader(strings.ReplaceAll(firstSettings, "\n", "\r\n"))); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	m.say("wrote %s, for your settings", s.Config)
	return nil
}

// restrict sets the rights of a folder, and of what will be in it.
func restrict(dir string) error {
	rights, err := windows.SecurityDescriptorFromString(folderRights(Name))
	if err != nil {
		return fmt.Errorf("make rights: %w", err)
	}
	list, _, err := rights.DACL()
	if err != nil {
		return fmt.Errorf("make rights: %w", err)
	}
	err = windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
	if err != nil {
		return fmt.Errorf("set the rights of %s: %w", dir, err)
	}
	return nil
}

// put makes the service, or changes the one that is there.
func (m serviceManager) put(manager *mgr.Mgr, s Spec) (*mgr.Service, error) {
	wanted := mgr.Config{
		ServiceType: windows.SERVICE_WIN32_OWN_PROCESS, StartType: mgr.StartAutomatic, ErrorControl: mgr.ErrorNormal, BinaryPathName: commandLine(s),
		ServiceStartName: account, DisplayName: displayName, Description: description,
	}
	one, err := manager.OpenService(Name)
	if err == nil {
		err = change(one, wanted)
	} else {
		one, err = manager.CreateService(Name, s.Program, wanted, args(s)...)
	}
	if err != nil {
		return nil, fmt.Errorf("make the service: %w", err)
	}
	again := mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: restartAfter}
	err = one.SetRecoveryActions([]mgr.RecoveryAction{again, again, again}, uint32(forgetAfter.Seconds())) // the last one counts for all after it
	if err == nil {
		err = one.SetRecoveryActionsOnNonCrashFailures(true)
	}
	if err != nil { // it serves all the same
		m.say("could not have Windows start it again whenever it fails: %v", err)
	}
	// One that is there already is as good.
	_ = eventlog.InstallAsEventCreate(Name, eventlog.Error|eventlog.Warning|eventlog.Info)
	m.say("made the service %s, which runs as %s", Name, account)
	return one, nil
}

// change has a service be as wanted, if it is not.
func change(one *mgr.Service, wanted mgr.Config) error {
	now, err := readEntry()
	if err != nil {
		return err
	}
	if now == (entry{wanted.BinaryPathName, wanted.ServiceStartName, uint64(wanted.StartType)}) {
		return nil
	}
	return one.UpdateConfig(wanted)
}

func (m serviceManager) Uninstall(ctx context.Context) error {
	s, err := m.Installed()
	if err != nil {
		return err
	}
	return m.with("uninstall", func(one *mgr.Service) error {
		if err := m.end(ctx, one); err != nil {
			return err
		}
		if err := one.Delete(); err != nil {
			return fmt.Errorf("take the service away: %w", err)
		}
		_ = eventlog.Remove(Name) // there may be none
		m.say("stopped the service and took it away")
		m.say("left the data in %s, the settings in %s and the program %s", s.Data, s.Config, s.Program)
		return nil
	})
}

func (m serviceManager) Start(ctx context.Context) error {
	return m.with("start", func(one *mgr.Service) error { return m.begin(ctx, one, "started") })
}

func (m serviceManager) Stop(ctx context.Context) error {
	return m.with("stop", func(one *mgr.Service) error {
		if err := m.end(ctx, one); err != nil {
			return err
		}
		m.say("stopped the service; it starts again with the computer, or by `fettle service start`")
		return nil
	})
}

func (m serviceManager) Restart(ctx context.Context) error {
	return m.with("restart", func(one *mgr.Service) error {
		if err := m.end(ctx, one); err != nil {
			return err
		}
		return m.begin(ctx, one, "restarted")
	})
}

// begin starts a service and waits until it is ready.
func (m serviceManager) begin(ctx context.Context, one *mgr.Service, done string) error {
	began := time.Now()
	if err := one.Start(); err != nil && !errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
		return fmt.Errorf("start the service: %w", err)
	}
	now, err := await(ctx, one, readyWithin, svc.Running)
	if err != nil {
		return err
	}
	if now.State != svc.Running {
		return fettle.Errorf(fettle.Unavailable, "the service did not come up (exit code %d). `fettle service logs` may say why, and so may: %s", now.ServiceSpecificExitCode, OtherLog)
	}
	m.say("%s the service; it was ready after %s", done, time.Since(began).Round(10*time.Millisecond))
	return nil
}

// end stops a service, if it runs, and waits until it is gone.
func (serviceManager) end(ctx context.Context, one *mgr.Service) error {
	if _, err := one.Control(svc.Stop); err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return fmt.Errorf("stop the service: %w", err)
	}
	now, err := await(ctx, one, endWithin, svc.Stopped)
	if err == nil && now.State != svc.Stopped {
		err = fettle.Errorf(fettle.Unavailable, "the service was asked to stop and is still there after %s; ending process %d loses nothing that was acknowledged", endWithin, now.ProcessId)
	}
	return err
}

// await looks at a service until it is in a state, has stopped, or time is up.
func await(ctx context.Context, one *mgr.Service, within time.Duration, state svc.State) (svc.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		now, err := one.Query()
		if err != nil {
			return now, fmt.Errorf("ask about the service: %w", err)
		}
		if now.State == state || now.State == svc.Stopped {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return now, nil
		case <-time.After(lookEvery):
		}
	}
}

func (m serviceManager) Status(context.Context) (Status, error) {
	s, err := m.Installed()
	if err != nil {
		return Status{}, err
	}
	status := Status{Program: s.Program, Config: s.Config, Data: s.Data, Where: `HKLM\` + registryKey}
	one, done, err := look()
	if err != nil {
		return Status{}, err
	}
	defer done()
	now, err := one.Query()
	if err != nil {
		return Status{}, fmt.Errorf("ask about the service: %w", err)
	}
	e, err := readEntry()
	if err != nil {
		return Status{}, err
	}
	status.State, status.Running, status.PID, status.Enabled = stateWord(now.State), now.State == svc.Running, int(now.ProcessId), e.start == mgr.StartAutomatic
	if now.State == svc.Stopped && now.Win32ExitCode != 0 {
		status.State += fmt.Sprintf(", its last end: exit code %d", now.ServiceSpecificExitCode)
	}
	return status, nil
}

func stateWord(s svc.State) string {
	words := map[svc.State]string{svc.Stopped: "stopped", svc.StartPending: "starting", svc.StopPending: "stopping", svc.Running: "running", svc.Paused: "paused"}
	if word, known := words[s]; known {
		return word
	}
	return fmt.Sprintf("in state %d", s)
}

// look opens the service as everybody may: to be looked at.
func look() (one *mgr.Service, done func(), err error) {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return nil, nil, fmt.Errorf("reach Windows' service manager: %w", err)
	}
	name, err := windows.UTF16PtrFromString(Name)
	if err != nil {
		return nil, nil, errors.Join(err, windows.CloseServiceHandle(manager))
	}
	handle, err := windows.OpenService(manager, name, windows.SERVICE_QUERY_STATUS|windows.SERVICE_QUERY_CONFIG)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the service: %w", err), windows.CloseServiceHandle(manager))
	}
	one = &mgr.Service{Name: Name, Handle: handle}
	return one, func() {
		_ = one.Close() // only looked at
		_ = windows.CloseServiceHandle(manager)
	}, nil
}

// with opens the service, to change it.
func (m serviceManager) with(verb string, do func(*mgr.Service) error) error {
	manager, err := m.connect(verb)
	if err != nil {
		return err
	}
	defer disconnect(manager)
	one, err := manager.OpenService(Name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return notInstalled()
	}
	if err != nil {
		return fmt.Errorf("open the service: %w", err)
	}
	defer one.Close()
	return do(one)
}

func (serviceManager) connect(verb string) (*mgr.Mgr, error) {
	manager, err := mgr.Connect()
	if errors.Is(err, fs.ErrPermission) {
		return nil, fettle.Errorf(fettle.Forbidden, "fettle service %s needs an administrator: start PowerShell by \"Run as administrator\", and run it again there", verb)
	}
	if err != nil {
		return nil, fmt.Errorf("reach Windows' service manager: %w", err)
	}
	return manager, nil
}

func disconnect(manager *mgr.Mgr) { _ = manager.Disconnect() } // what was to be done is done
