package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/service"
)

type serviceCmd struct {
	Install   serviceInstallCmd   `cmd:"" help:"Have the operating system keep the server, or update what it keeps."`
	Uninstall serviceUninstallCmd `cmd:"" help:"Stop the service and take it away; data and settings stay."`
	Start     serviceStartCmd     `cmd:"" help:"Start it, and wait until it is ready."`
	Stop      serviceStopCmd      `cmd:"" help:"Stop it, and wait until it has ended."`
	Restart   serviceRestartCmd   `cmd:"" help:"Stop and start it, with changed settings say."`
	Status    serviceStatusCmd    `cmd:"" help:"Tell whether it runs, since when, and where everything is."`
	Logs      serviceLogsCmd      `cmd:"" help:"Show what it has logged, and follow it."`
}

func (serviceCmd) Help() string {
	return "A service starts with the computer, without anybody signing in, and again when it dies or hangs. The tunnel, if tunnel.mode asks for one, runs inside it. docs/service.md tells more.\n\n" + examples(
		service.Sudo+"fettle service install",
		service.Sudo+"fettle service status",
		service.Sudo+"fettle service logs -f",
	)
}

// here is the manager of this system, which tells what it does.
func here(out io.Writer) service.Manager {
	return service.Here(func(format string, args ...any) { fmt.Fprintf(out, "- "+format+"\n", args...) })
}

type serviceInstallCmd struct {
	DryRun bool     `help:"Only print what would be installed."`
	Writes []string `placeholder:"DIR" help:"Further folders that the service may write, for backups say. Can be repeated; without it, those of before."`
}

func (serviceInstallCmd) Help() string {
	usual := here(io.Discard).Usual()
	return fmt.Sprintf("Copies this program to %s, and has it run with the settings in %s over the data in %s; -c and --data name others. "+
		"The same command of a newer program is the update. Nothing that is there is overwritten but the program.\n\n", usual.Program, usual.Config, usual.Data) + examples(
		service.Sudo+"fettle service install",
		"fettle service install --dry-run                     what it would be",
		service.Sudo+"fettle service install --data /mnt/ssd/fettle     the data elsewhere",
		service.Sudo+"fettle service install --writes /mnt/backup       and `fettle backup` may go there",
	)
}

// Run installs, or only shows.
func (c *serviceInstallCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	m := here(out)
	spec, err := c.spec(m, g)
	if err != nil {
		return err
	}
	if c.DryRun {
		_, err := io.WriteString(out, m.Preview(spec))
		return err
	}
	if err := m.Install(ctx, spec); err != nil {
		return err
	}
	return tellInstalled(out, spec)
}

// spec is what was installed before, or what is usual, with what the flags and
// the settings say.
func (c *serviceInstallCmd) spec(m service.Manager, g *globals) (service.Spec, error) {
	spec, err := m.Installed()
	if fettle.KindOf(err) == fettle.NotFound {
		spec, err = m.Usual(), nil
	}
	if err != nil {
		return service.Spec{}, err
	}
	if g.ConfigFile != "" {
		if spec.Config, err = filepath.Abs(g.ConfigFile); err != nil {
			return service.Spec{}, err
		}
	}
	settings := spec.Config
	if _, err := os.Stat(settings); errors.Is(err, fs.ErrNotExist) && g.ConfigFile == "" {
		settings = ""
	}
	cfg, err := (&globals{ConfigFile: settings}).load()
	if err != nil {
		return service.Spec{}, err
	}
	switch {
	case g.Data != "":
		spec.Data, err = filepath.Abs(g.Data)
	case cfg.Data.Dir != config.Defaults().Data.Dir:
		spec.Data = cfg.Data.Dir
	}
	if c.Writes != nil {
		spec.Writes = c.Writes
	}
	spec.Memory = service.MemoryFor(cfg)
	return spec, err
}

// tellInstalled says where everything is, and what to type next.
func tellInstalled(out io.Writer, spec service.Spec) error {
	fmt.Fprint(out, "\nfettle is a service: it starts with this computer, and again should it die or hang.\n\n")
	t := newTable(out)
	if at, err := config.ReadServer(spec.Data); err == nil {
		t.row("page", "http://"+at.HTTP)
		t.row("MQTT", "mqtt://"+at.MQTT)
	}
	t.row("status", service.Sudo+"fettle service status")
	t.row("log", service.Sudo+"fettle service logs -f")
	t.row("settings", spec.Config+", then "+service.Sudo+"fettle service restart")
	t.row("other commands", service.Sudo+"fettle status --data "+spec.Data+", and so on")
	return t.Flush()
}

type serviceUninstallCmd struct{}

func (serviceUninstallCmd) Run(ctx context.Context, out io.Writer) error {
	return here(out).Uninstall(ctx)
}

type serviceStartCmd struct{}

func (serviceStartCmd) Run(ctx context.Context, out io.Writer) error {
	if err := settingsOfService(out); err != nil {
		return err
	}
	return here(out).Start(ctx)
}

// settingsOfService reads the service's settings: what is wrong with them had
// better be known before it is stopped, and by whoever can mend it.
func settingsOfService(out io.Writer) error {
	spec, err := here(out).Installed()
	if err != nil {
		return err
	}
	_, err = (&globals{ConfigFile: spec.Config}).load()
	if errors.Is(err, fs.ErrPermission) {
		return nil // it is root who may go on
	}
	return err
}

type serviceStopCmd struct{}

func (serviceStopCmd) Run(ctx context.Context, out io.Writer) error { return here(out).Stop(ctx) }

type serviceRestartCmd struct{}

func (serviceRestartCmd) Run(ctx context.Context, out io.Writer) error {
	if err := settingsOfService(out); err != nil {
		return fmt.Errorf("%w\nThe service was left as it is", err)
	}
	return here(out).Restart(ctx)
}

type serviceStatusCmd struct {
	JSON bool `help:"Print JSON."`
}

func (serviceStatusCmd) Help() string {
	return "Needs no rights. What the server itself says, `fettle status` tells.\n\nExit codes: 0 it runs, 1 it does not, or is not installed, 2 wrong usage."
}

func (c *serviceStatusCmd) Run(ctx context.Context, out io.Writer) error {
	s, err := here(out).Status(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(out, s)
	} else {
		err = printService(out, s)
	}
	if err == nil && !s.Running {
		return exitCode(exitFailure)
	}
	return err
}

func printService(out io.Writer, s service.Status) error {
	starts := "starts with the computer"
	if !s.Enabled {
		starts = "does not start with the computer"
	}
	t := newTable(out)
	t.row("service", s.State+", "+starts)
	if s.Running {
		since := fmt.Sprintf("pid %d", s.PID)
		if !s.Since.IsZero() {
			since += fmt.Sprintf(", since %s (%s)", stamp(s.Since), duration(time.Since(s.Since).Seconds()))
		}
		t.row("", since)
	}
	if s.Says != "" {
		t.row("", "it says: "+s.Says)
	}
	if s.Restarts > 0 {
		t.row("", fmt.Sprintf("after it died or hung it was started again, %d in all; the log says why", s.Restarts))
	}
	if s.Memory > 0 {
		t.row("memory", size(s.Memory)+", with all that it has started")
	}
	t.row("program", s.Program)
	t.row("settings", s.Config)
	t.row("data", s.Data)
	t.row("stands in", s.Where)
	if err := t.Flush(); err != nil || s.Running {
		return err
	}
	_, err := fmt.Fprintf(out, "\nIt does not run: %sfettle service logs may say why, and %[1]sfettle service start starts it.\n", service.Sudo)
	return err
}

type serviceLogsCmd struct {
	Part   string `arg:"" optional:"" help:"Only lines of this part, as in fettle logs."`
	Follow bool   `short:"f" help:"Go on with what comes, until Ctrl-C."`
	Lines  int    `short:"n" default:"100" help:"So many lines of before, at most."`
}

func (serviceLogsCmd) Help() string {
	return "Shows the log's file in the service's data folder. What the operating system has to say of it, and what it said before it could open that file: " + service.OtherLog + "\n\n" + examples(
		service.Sudo+"fettle service logs",
		service.Sudo+"fettle service logs broker -f",
	)
}

func (c *serviceLogsCmd) Run(ctx context.Context, out io.Writer) error {
	spec, err := here(out).Installed()
	if err != nil {
		return err
	}
	err = (&logsCmd{Part: c.Part, Follow: c.Follow, Lines: c.Lines}).Run(ctx, &globals{ConfigFile: spec.Config, Data: spec.Data}, out)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fettle.Errorf(fettle.Forbidden, "%w; the log is the service's alone: %sfettle service logs", err, service.Sudo)
	case fettle.KindOf(err) == fettle.NotFound:
		return fmt.Errorf("%w. %s may have more", err, strings.TrimSuffix(service.OtherLog, "."))
	}
	return err
}
