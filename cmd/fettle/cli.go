package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"fettle/internal/config"
	"fettle/internal/service"
)

const description = `Predictive maintenance for machines, in one program.

Sensors publish readings over MQTT; fettle keeps them, forecasts every machine, judges every reading, raises alarms, and shows it all on a page.

Settings come from a YAML file and from variables such as FETTLE_HTTP_LISTEN; docs/config.md lists them. Exit codes: 0 done, 1 failed, 2 wrong usage.`

// cli is the command line. Each command's fields and Run are in its own file.
type cli struct {
	globals

	Demo        demoCmd        `cmd:"" help:"Show it all: three simulated machines, their history, and a fault."`
	Serve       serveCmd       `cmd:"" help:"Run the server: broker, forecasts, alarms, API and page."`
	Simulate    simulateCmd    `cmd:"" help:"Publish readings of simulated machines to a broker."`
	Replay      replayCmd      `cmd:"" help:"Publish a recording (CSV) to a broker."`
	Query       queryCmd       `cmd:"" help:"Print stored readings."`
	Migrate     migrateCmd     `cmd:"" help:"Take over readings and models of the old system."`
	Export      exportCmd      `cmd:"" help:"Write readings as CSV, Parquet or line protocol."`
	Status      statusCmd      `cmd:"" help:"Tell how the server and its machines are doing."`
	Backup      backupCmd      `cmd:"" help:"Copy readings, state and models into a folder."`
	Restore     restoreCmd     `cmd:"" help:"Make a data folder of a backup."`
	Check       checkCmd       `cmd:"" help:"Tell whether all readings are as they should be."`
	Fit         fitCmd         `cmd:"" help:"Train a forecasting model on a table (CSV)."`
	Train       trainCmd       `cmd:"" help:"Train models of a running server's machines."`
	TrainWorker trainWorkerCmd `cmd:"" help:"Do one training job from standard input."`
	Spark       sparkCmd       `cmd:"" help:"Check a Spark cluster to train on, and tell how to start its server."`
	Backtest    backtestCmd    `cmd:"" help:"Live a machine's stored history again: how good were forecasts and alarms?"`
	Predict     predictCmd     `cmd:"" help:"Forecast how a table (CSV) goes on."`
	Config      configCmd      `cmd:"" help:"Show, change and check settings."`
	Silence     silenceCmd     `cmd:"" help:"Tell nobody of a machine's alarms for a time."`
	Key         keyCmd         `cmd:"" help:"Create, list and revoke API keys."`
	User        userCmd        `cmd:"" help:"Add, list, change and remove users of the MQTT broker."`
	Notify      notifyCmd      `cmd:"" help:"List and test who is told about alarms."`
	Alarm       alarmCmd       `cmd:"" help:"List alarms, and answer them."`
	Model       modelCmd       `cmd:"" help:"List, promote, roll back, import and export forecasting models."`
	Tunnel      tunnelCmd      `cmd:"" help:"Reach the server from outside through cloudflared."`
	Service     serviceCmd     `cmd:"" help:"Have the operating system keep the server running."`
	Doctor      doctorCmd      `cmd:"" help:"Look everything over, and say what to do."`
	Logs        logsCmd        `cmd:"" help:"Show what the server has logged, and follow it."`
	Stop        stopCmd        `cmd:"" help:"End the running server."`
	Completion  completionCmd  `cmd:"" help:"Print what makes a shell complete fettle's commands."`
	Complete    completeCmd    `cmd:"" hidden:"" help:"Answer a shell that completes."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// globals are the flags that every command understands.
type globals struct {
	ConfigFile string `name:"config" short:"c" placeholder:"FILE" env:"FETTLE_CONFIG" help:"Configuration file. Without it, the service's for the service's data folder, else ${default_config} in the working directory if there is one."`
	Data       string `placeholder:"DIR" help:"Data folder; wins over the configuration and $$FETTLE_DATA_DIR."`

	actsAs string // who this process has become; empty: it is who it was
}

// config loads the configuration for a command that works on the data folder. As
// root, the command acts as the folder's owner from then on.
func (g *globals) config() (config.Config, error) {
	cfg, err := g.load()
	if err != nil {
		return config.Config{}, err
	}
	g.actsAs, err = service.ActAsOwner(cfg.Data.Dir)
	return cfg, err
}

// load loads the configuration, and passes on what it warns of.
func (g *globals) load() (config.Config, error) {
	cfg, err := config.Load(g.file())
	if err != nil {
		return config.Config{}, err
	}
	for _, warning := range cfg.Warnings() {
		fmt.Fprintf(os.Stderr, "fettle: warning: %s\n", warning)
	}
	if g.Data != "" {
		cfg.Data.Dir = g.Data
	}
	return cfg, nil
}

// file is the configuration file that a command reads; empty if there is none.
func (g *globals) file() string {
	if g.ConfigFile != "" {
		return g.ConfigFile
	}
	if settings := g.settingsOfService(); settings != "" {
		return settings
	}
	if _, err := os.Stat(config.DefaultFile); err == nil {
		return config.DefaultFile
	}
	return ""
}

// settingsOfService are the settings of the service's data folder, if it is that
// folder that a command is to work on; empty otherwise.
func (g *globals) settingsOfService() string {
	dir := cmp.Or(g.Data, os.Getenv("FETTLE_DATA_DIR"))
	if spec, err := service.Here(nil).Installed(); err == nil && dir != "" && filepath.Clean(dir) == filepath.Clean(spec.Data) {
		return spec.Config
	}
	return ""
}

// looseConfig is config for who is about to write the file: it may be missing,
// or wrong, and be right afterwards.
func (g *globals) looseConfig() (config.Config, error) {
	cfg, err := config.Load(g.file())
	if err != nil {
		if cfg, err = config.Load(""); err != nil {
			return config.Config{}, err
		}
	}
	if g.Data != "" {
		cfg.Data.Dir = g.Data
	}
	return cfg, nil
}

// commandPath is what a person has typed so far, for "See … --help".
func commandPath(parsed *kong.Context) string {
	path := []string{"fettle"}
	for _, step := range parsed.Path {
		if step.Command != nil {
			path = append(path, step.Command.Name)
		}
	}
	return strings.Join(path, " ")
}

// A usageError is a mistake on the command line that only shows in a command's
// Run.
type usageError struct{ error }

// usage marks what is wrong with an argument.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// An exitCode ends the program with a code of its own; what there was to say
// has been said.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// examples makes the end of a command's --help: what to type, and why.
func examples(lines ...string) string {
	return "Examples:\n\n    " + strings.Join(lines, "\n    ") + exitCodes
}

const exitCodes = "\n\nExit codes: 0 done, 1 failed, 2 wrong usage."
