package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/config"
)

type configCmd struct {
	Show  configShowCmd  `cmd:"" help:"List every setting, and where its value comes from."`
	Get   configGetCmd   `cmd:"" help:"Print one setting."`
	Set   configSetCmd   `cmd:"" help:"Write one setting into the configuration file."`
	Check configCheckCmd `cmd:"" help:"Tell whether the configuration is right."`
}

func (configCmd) Help() string {
	return "Settings come from a YAML file and from variables such as FETTLE_HTTP_LISTEN; docs/config.md says what each is for. " +
		"A running server looks at its file every second: much is in force at once, and it says what needs a restart.\n\n" + examples(
		"fettle config show --set                       what is not as it is by default",
		"fettle config get forecast.interval",
		"fettle config set forecast.interval 300s       at once, in a running server too",
		"fettle config set http.hosts fettle.plant,10.0.0.7    a list",
		"fettle config set units.flow l/min",
		"fettle config set smtp.password_file smtp-password    a secret, from a file",
		"fettle config check -c /etc/fettle.yaml",
	)
}

type configShowCmd struct {
	Set  bool `help:"Only what is not as it is by default."`
	JSON bool `help:"Print JSON."`
}

// Run lists what this command would run with. That is what a server would be
// started with here, and so not always what one that runs was.
func (c *configShowCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	list := []config.Setting{}
	for _, s := range g.settings(cfg) {
		if !c.Set || s.From != config.FromDefault {
			list = append(list, s)
		}
	}
	if c.JSON {
		return printJSON(out, list)
	}
	if len(list) == 0 {
		fmt.Fprintln(out, "All settings are as they are by default; `fettle config show` lists them.")
	} else {
		t := newTable(out)
		t.row("SETTING", "VALUE", "FROM")
		for _, s := range list {
			t.row(s.Name, shown(s.Text), s.From)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return sayWaiting(ctx, cfg)
}

// settings are a configuration's, with what the command line said.
func (g *globals) settings(cfg config.Config) []config.Setting {
	list := cfg.Settings()
	for i := range list {
		if list[i].Name == "data.dir" && g.Data != "" {
			list[i].From = "--data"
		}
	}
	return list
}

// shown makes an empty text visible.
func shown(text string) string {
	if text == "" {
		return `""`
	}
	return text
}

// sayWaiting tells of settings that a running server does not have yet.
func sayWaiting(ctx context.Context, cfg config.Config) error {
	server, err := findServer(ctx, cfg.Data.Dir)
	if fettle.KindOf(err) == fettle.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	state, err := server.settings(ctx)
	if err != nil {
		return err
	}
	if state.Error != "" {
		note("The running server goes on with its old settings, because its file is wrong: %s", state.Error)
	}
	for _, w := range state.Waiting {
		note("The running server still has %s %s; it has %s after a restart.", w.Setting, shown(w.Old), shown(w.New))
	}
	return nil
}

type configGetCmd struct {
	Setting string `arg:"" help:"Its name, such as forecast.interval."`
}

// Run prints a setting.
func (c *configGetCmd) Run(g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	for _, s := range g.settings(cfg) {
		if s.Name == c.Setting {
			_, err := fmt.Fprintln(out, s.Text)
			return err
		}
	}
	return usage(config.UnknownSetting(c.Setting))
}

type configSetCmd struct {
	Setting string `arg:"" help:"Its name, such as forecast.interval."`
	Value   string `arg:"" help:"What it is to be: as in the file, a list as a,b."`
}

// Run writes a setting, and tells a running server.
func (c *configSetCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.looseConfig()
	if err != nil {
		return err
	}
	server, err := findServer(ctx, cfg.Data.Dir)
	if err != nil && fettle.KindOf(err) != fettle.NotFound {
		return err
	}
	var running api.SettingsState
	if server != nil {
		if running, err = server.settings(ctx); err != nil {
			return err
		}
	}
	file := g.file()
	if file == "" {
		file = running.File
	}
	if file == "" {
		file = config.DefaultFile
	}
	change, err := config.Set(file, c.Setting, c.Value)
	if err != nil {
		return usage(err)
	}
	switch {
	case change.New == config.Secret("x").String(): // of two secrets nobody is told how they differ
		fmt.Fprintf(out, "%s is set in %s.\n", change.Setting, file)
	case change.Old == change.New:
		fmt.Fprintf(out, "%s is %s in %s already.\n", c.Setting, shown(change.New), file)
	default:
		fmt.Fprintf(out, "%s is %s in %s now; it was %s.\n", c.Setting, shown(change.New), file, shown(change.Old))
	}
	if name, set := config.Variable(c.Setting); set {
		note("But %s is set, and wins over the file in whatever is started from here.", name)
	}
	return c.tell(ctx, out, file, change, server, running.File)
}

// tell has a running server look at the file, and says what came of it.
func (c *configSetCmd) tell(ctx context.Context, out io.Writer, file string, change fettle.SettingChange, server *remote, itsFile string) error {
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	switch {
	case server == nil:
		_, err = fmt.Fprintln(out, "No server runs on its data folder; the next one has it.")
		return err
	case itsFile == "":
		_, err = fmt.Fprintf(out, "The running server was started without a file; start it with -c %s, or where %s is.\n", file, config.DefaultFile)
		return err
	case !sameFile(itsFile, path):
		_, err = fmt.Fprintf(out, "The running server reads %s, not this file.\n", itsFile)
		return err
	}
	var looked fettle.SettingsChange
	if err := server.call(ctx, http.MethodPost, "/api/v1/settings/reload", nil, &looked); err != nil {
		return err
	}
	if looked.Error != "" {
		return fettle.Errorf(fettle.Invalid, "the running server goes on with its old settings: %s", looked.Error)
	}
	state, err := server.settings(ctx)
	if err != nil {
		return err
	}
	for _, w := range state.Waiting {
		if w.Setting == change.Setting {
			_, err = fmt.Fprintln(out, "It needs a restart: `fettle stop`, then start the server as before.")
			return err
		}
	}
	for _, s := range state.Settings {
		if s.Name == change.Setting && s.Text != change.New {
			_, err = fmt.Fprintf(out, "The running server keeps %s, which %s says: that wins over the file.\n", shown(s.Text), s.From)
			return err
		}
	}
	_, err = fmt.Fprintln(out, "It is in force in the running server.")
	return err
}

// sameFile tells whether two paths lead to one file.
func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	second, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(first, second)
}

func (r *remote) settings(ctx context.Context) (state api.SettingsState, err error) {
	err = r.call(ctx, http.MethodGet, "/api/v1/settings", nil, &state)
	return state, err
}

type configCheckCmd struct{}

// Run checks the configuration. What is wrong comes as an error, from whoever
// reads it.
func (configCheckCmd) Run(g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	set := 0
	for _, s := range cfg.Settings() {
		if s.From != config.FromDefault {
			set++
		}
	}
	where := "No configuration file is here; defaults and environment are right"
	if file := g.file(); file != "" {
		where = file + " is right"
	}
	_, err = fmt.Fprintf(out, "%s. %d settings are not left as they are by default.\n", where, set)
	return err
}
