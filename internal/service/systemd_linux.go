package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fettle"
)

// Where systemd and its friends look, for what an administrator adds.
const (
	unitFile = "/etc/systemd/system/fettle.service"
	userFile = "/etc/sysusers.d/fettle.conf"
)

// userLine is the user as sysusers.d(5) has it. It stays when the service goes,
// for the data folder is its.
const userLine = "u " + User + " - \"" + displayName + "\" /var/lib/fettle -\n"

type systemd struct{ say Say }

// Here is the manager of this system. What it does, it says.
func Here(say Say) Manager { return systemd{say} }

func (systemd) Usual() Spec {
	return Spec{Program: "/usr/local/bin/fettle", Config: "/etc/fettle/fettle.yaml", Data: "/var/lib/fettle"}
}

func (systemd) Installed() (Spec, error) {
	text, err := os.ReadFile(unitFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Spec{}, notInstalled()
	}
	if err != nil {
		return Spec{}, fmt.Errorf("read the unit: %w", err)
	}
	return specOfUnit(string(text)), nil
}

func (systemd) Preview(s Spec) string { return "# " + unitFile + "\n" + unit(s) }

func (m systemd) Install(ctx context.Context, s Spec) error {
	if err := m.mayInstall(s); err != nil {
		return err
	}
	if err := copyProgram(s.Program, m.say); err != nil {
		return err
	}
	owner, err := m.makeUser(ctx)
	if err != nil {
		return err
	}
	if err := m.makeSettings(s.Config, owner); err != nil {
		return err
	}
	if err := m.makeData(s.Data, owner); err != nil {
		return err
	}
	if err := writeWhole(unitFile, 0o644, strings.NewReader(unit(s))); err != nil {
		return fmt.Errorf("write the unit: %w", err)
	}
	m.say("wrote %s", unitFile)
	if err := m.ctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	if err := m.ctl(ctx, "--quiet", "enable", Name); err != nil {
		return err
	}
	return m.bring(ctx, "restart", "started")
}

// mayInstall looks at everything that can be seen to go wrong.
func (m systemd) mayInstall(s Spec) error {
	if err := m.may("install"); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	for _, p := range s.places() {
		for _, hidden := range []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"} {
			if strings.HasPrefix(p.path, hidden) {
				return fettle.BadField("wrong value", p.field, p.path, "a path that is not below "+strings.TrimSuffix(hidden, "/")+", which the service does not see; /var/lib, /srv, /mnt or /etc will do")
			}
		}
	}
	return nil
}

// may tells whether there is a systemd, and whether we may change things.
func (systemd) may(verb string) error {
	if !exists("/run/systemd/system") { // sd_booted(3)
		return fettle.Errorf(fettle.Unavailable, "this system was not started by systemd; let whatever keeps its services run `fettle serve`. It ends by SIGTERM, and what was acknowledged is never lost")
	}
	if os.Geteuid() != 0 {
		program, err := os.Executable()
		if err != nil {
			program = "fettle"
		}
		return fettle.Errorf(fettle.Forbidden, "fettle service %s needs root: sudo %s service %[1]s", verb, program)
	}
	return nil
}

// An owner is the user to whom the data belongs.
type owner struct{ uid, gid int }

// makeUser has systemd make the user, if there is none.
func (m systemd) makeUser(ctx context.Context) (owner, error) {
	known, err := user.Lookup(User)
	if err != nil {
		if err := writeWhole(userFile, 0o644, strings.NewReader(userLine)); err != nil {
			return owner{}, fmt.Errorf("make the user %s: %w", User, err)
		}
		if err := m.command(ctx, "systemd-sysusers", userFile); err != nil {
			return owner{}, fmt.Errorf("make the user %s: %w", User, err)
		}
		if known, err = user.Lookup(User); err != nil {
			return owner{}, fmt.Errorf("make the user %s: %w", User, err)
		}
		m.say("made the user %s, to whom the data will belong", User)
	}
	uid, err := strconv.Atoi(known.Uid)
	gid, err2 := strconv.Atoi(known.Gid)
	return owner{uid, gid}, errors.Join(err, err2)
}

// makeSettings writes settings that say nothing, for the service to read and
// root to change. They may come to hold secrets.
func (m systemd) makeSettings(path string, o owner) error {
	if exists(path) {
		return nil
	}
	if err := writeWhole(path, 0o640, strings.NewReader(firstSettings)); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	if err := os.Lchown(path, 0, o.gid); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	m.say("wrote %s, for your settings", path)
	return nil
}

// makeData makes the data folder. One that is there must be the user's.
func (m systemd) makeData(path string, o owner) error {
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
		if err := errors.Join(os.Mkdir(path, 0o700), os.Lchown(path, o.uid, o.gid)); err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
		m.say("made %s, for the data", path)
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the data folder: %w", err)
	}
	if of, known := there.Sys().(*syscall.Stat_t); known && int(of.Uid) != o.uid {
		return fettle.Errorf(fettle.Conflict, "the data folder %s belongs to user %d, not to %s as whom the service runs: sudo chown -R %[3]s:%[3]s %[1]s", path, of.Uid, User)
	}
	return nil
}

func (m systemd) Uninstall(ctx context.Context) error {
	if err := m.may("uninstall"); err != nil {
		return err
	}
	s, err := m.Installed()
	if err != nil {
		return err
	}
	if err := m.ctl(ctx, "--quiet", "disable", "--now", Name); err != nil {
		return err
	}
	if err := os.Remove(unitFile); err != nil {
		return fmt.Errorf("take the unit away: %w", err)
	}
	if err := m.ctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	_ = m.ctl(ctx, "reset-failed", Name) // it may not have failed
	m.say("stopped the service and took away %s", unitFile)
	m.say("left the data in %s, the settings in %s, the program %s and the user %s", s.Data, s.Config, s.Program, User)
	return nil
}

func (m systemd) Start(ctx context.Context) error   { return m.bring(ctx, "start", "started") }
func (m systemd) Restart(ctx context.Context) error { return m.bring(ctx, "restart", "restarted") }

// bring starts the service; systemd returns when it has said that it is ready.
func (m systemd) bring(ctx context.Context, verb, done string) error {
	if err := m.changeable(verb); err != nil {
		return err
	}
	began := time.Now()
	if err := m.ctl(ctx, verb, Name); err != nil {
		said := m.journal(ctx, began)
		if said == "" {
			said = err.Error()
		}
		return fettle.Errorf(fettle.Unavailable, "the service did not come up; it said:\n\n    %s\n\nsystemd goes on trying; `%sfettle service stop` ends that", strings.ReplaceAll(said, "\n", "\n    "), Sudo)
	}
	m.say("%s the service; it was ready after %s", done, time.Since(began).Round(10*time.Millisecond))
	return nil
}

func (m systemd) Stop(ctx context.Context) error {
	if err := m.changeable("stop"); err != nil {
		return err
	}
	if err := m.ctl(ctx, "stop", Name); err != nil {
		return err
	}
	m.say("stopped the service; it starts again with the computer, or by `fettle service start`")
	return nil
}

func (m systemd) changeable(verb string) error {
	if err := m.may(verb); err != nil {
		return err
	}
	_, err := m.Installed()
	return err
}

// journal is the end of what the service itself has said since a time; empty if
// that cannot be had.
func (systemd) journal(ctx context.Context, since time.Time) string {
	text, err := exec.CommandContext(ctx, "journalctl", "_SYSTEMD_UNIT="+Name+".service", fmt.Sprintf("--since=@%d", since.Unix()), "--lines=12", "--output=cat", "--no-pager", "--quiet").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (m systemd) Status(ctx context.Context) (Status, error) {
	s, err := m.Installed()
	if err != nil {
		return Status{}, err
	}
	show := exec.CommandContext(ctx, "systemctl", "show", Name, "--property=ActiveState,SubState,UnitFileState,MainPID,NRestarts,ActiveEnterTimestamp,StatusText,MemoryCurrent,Result")
	show.Env = append(os.Environ(), "TZ=UTC")
	text, err := show.Output()
	if err != nil {
		return Status{}, fmt.Errorf("ask systemd: %w", failure(err))
	}
	status := statusOfShow(string(text))
	status.Program, status.Config, status.Data, status.Where = s.Program, s.Config, s.Data, unitFile
	return status, nil
}

// statusOfShow reads what systemctl show prints: lines of name=value.
func statusOfShow(text string) Status {
	says := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		says[name] = value
	}
	s := Status{
		State:   says["ActiveState"] + " (" + says["SubState"] + ")",
		Running: says["ActiveState"] == "active", Enabled: says["UnitFileState"] == "enabled",
	}
	if says["ActiveState"] != "inactive" { // else it is long ago
		s.Says = says["StatusText"]
	}
	if result := says["Result"]; result != "" && result != "success" {
		s.State += ", its last end: " + result
	}
	// What is not a number is not known: [not set], say.
	s.PID, _ = strconv.Atoi(says["MainPID"])
	s.Restarts, _ = strconv.Atoi(says["NRestarts"])
	s.Memory, _ = strconv.ParseInt(says["MemoryCurrent"], 10, 64)
	s.Since, _ = time.Parse("Mon 2006-01-02 15:04:05 MST", says["ActiveEnterTimestamp"])
	return s
}

func (m systemd) ctl(ctx context.Context, args ...string) error {
	return m.command(ctx, "systemctl", args...)
}

func (systemd) command(ctx context.Context, name string, args ...string) error {
	if _, err := exec.CommandContext(ctx, name, args...).Output(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), failure(err))
	}
	return nil
}

// failure adds what a command has said to how it ended.
func failure(err error) error {
	exit := new(exec.ExitError)
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}
