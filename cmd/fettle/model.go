package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"fettle"
	"fettle/internal/model"
)

type modelCmd struct {
	List     modelListCmd     `cmd:"" help:"List the versions of all models, and which of them serve."`
	Show     modelShowCmd     `cmd:"" help:"Show one version: how it came about, how good it is, what was decided."`
	Promote  modelPromoteCmd  `cmd:"" help:"Let a version serve, at once."`
	Rollback modelRollbackCmd `cmd:"" help:"Let the version serve again that served before, at once."`
	Delete   modelDeleteCmd   `cmd:"" help:"Delete versions that do not serve."`
	Export   modelExportCmd   `cmd:"" help:"Copy a version for transformers and scikit-learn to read."`
	Import   modelImportCmd   `cmd:"" help:"Import a model that was trained elsewhere."`
}

func (modelCmd) Help() string {
	return "Beside a running server it is the server that does it. The server also notices by itself what is copied into its folder of models.\n\n" + examples(
		"fettle model list --machine press-3",
		"fettle model show model_press-3_20261124_093154",
		"fettle model promote model_press-3_20261124_093154 --reason 'better in the night shift'",
		"fettle model rollback press-3",
		"fettle model export model_press-3_20261124_093154 --to checkpoint",
		"fettle model import models/model_cnc-mill-5-axis_20251124_093154",
		"fettle model import checkpoint --machine press-3 --sensors current,tempA --scaler scaler.pkl",
	)
}

// withModels does something with the models of the data folder.
func withModels(ctx context.Context, g *globals, do func(modelBook) error) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	data, err := openBackend(ctx, cfg.Data, true)
	if err != nil {
		return err
	}
	models, err := data.Models()
	if err == nil {
		err = do(models)
	}
	return errors.Join(err, data.Close())
}

type modelListCmd struct {
	Machine string `placeholder:"NAME" help:"Only those of this machine."`
	All     bool   `help:"Every version, however many there are."`
	JSON    bool   `help:"Print JSON."`
}

func (c *modelListCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return withModels(ctx, g, func(models modelBook) error {
		list, problems, err := models.List(ctx, c.Machine)
		if err != nil {
			return err
		}
		for _, p := range problems {
			note("%s cannot be used: %s", p.Name, p.Reason)
		}
		if c.JSON {
			return printJSON(out, append([]fettle.Model{}, list...))
		}
		if len(list) == 0 {
			_, err := fmt.Fprintln(out, "There are no models yet; each machine gets its first one after 120 readings.")
			return err
		}
		if c.All || c.Machine != "" || len(list) <= mostVersions {
			return printVersions(out, list)
		}
		return summarize(out, list)
	})
}

// mostVersions are listed without being asked for.
const mostVersions = 60

func printVersions(out io.Writer, list []fettle.Model) error {
	t := newTable(out)
	t.row("NAME", "MACHINE", "FORECASTER", "FAMILY", "STATE", "SINCE (UTC)", "WHY")
	for _, m := range list {
		t.row(m.Name, m.Machine, m.Forecaster, m.Family, m.State, m.Since.UTC().Format("2006-01-02 15:04:05"), cmp.Or(m.Reason, "-"))
	}
	return t.Flush()
}

// summarize counts versions that are too many to be listed.
func summarize(out io.Writer, list []fettle.Model) error {
	type kind struct{ forecaster, family, state string }
	counts, machines := map[kind]int{}, map[string]bool{}
	for _, m := range list {
		counts[kind{m.Forecaster, m.Family, string(m.State)}]++
		machines[m.Machine] = true
	}
	kinds := slices.SortedFunc(maps.Keys(counts), func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.forecaster, b.forecaster), cmp.Compare(a.state, b.state), cmp.Compare(a.family, b.family))
	})
	t := newTable(out)
	t.row("FORECASTER", "STATE", "FAMILY", "VERSIONS")
	for _, k := range kinds {
		t.row(k.forecaster, k.state, k.family, counts[k])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%d versions of %d machines; --machine NAME lists those of one, --all every one.\n", len(list), len(machines))
	return err
}

type modelShowCmd struct {
	Name string `arg:"" help:"Name of the version, as model list prints it."`
	JSON bool   `help:"Print JSON."`
}

func (c *modelShowCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return withModels(ctx, g, func(models modelBook) error {
		d, err := models.Details(ctx, c.Name)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(out, d)
		}
		return printDetails(out, d)
	})
}

type modelPromoteCmd struct {
	Name   string `arg:"" help:"Name of the version, as model list prints it."`
	Reason string `help:"Why, for those who look later."`
	JSON   bool   `help:"Print JSON."`
}

func (c *modelPromoteCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return withModels(ctx, g, func(models modelBook) error {
		m, err := models.Promote(ctx, c.Name, c.Reason)
		if err != nil {
			return err
		}
		return printServing(out, m, c.JSON)
	})
}

type modelRollbackCmd struct {
	Machine    string `arg:"" help:"Name of the machine."`
	Forecaster string `default:"${short_forecaster}" placeholder:"NAME" help:"Forecaster to roll back. Default: ${default}."`
	Reason     string `help:"Why, for those who look later."`
	JSON       bool   `help:"Print JSON."`
}

func (c *modelRollbackCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return withModels(ctx, g, func(models modelBook) error {
		m, err := models.Rollback(ctx, c.Machine, c.Forecaster, c.Reason)
		if err != nil {
			return err
		}
		return printServing(out, m, c.JSON)
	})
}

func printServing(out io.Writer, m fettle.Model, asJSON bool) error {
	if asJSON {
		return printJSON(out, m)
	}
	_, err := fmt.Fprintf(out, "%s serves %s as %s.\n", m.Name, m.Machine, m.Forecaster)
	return err
}

type modelDeleteCmd struct {
	Names []string `arg:"" name:"name" help:"Names of the versions, or of folders that cannot be used."`
}

func (c *modelDeleteCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	return withModels(ctx, g, func(models modelBook) error {
		var failed error
		for _, name := range c.Names {
			if err := models.Delete(ctx, name); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			note("%s is deleted.", name)
		}
		return failed
	})
}

type modelExportCmd struct {
	Name    string `arg:"" help:"Name of the version, as model list prints it."`
	To      string `placeholder:"DIR" help:"New folder. Default: the version's name, in the working directory."`
	Sklearn string `placeholder:"VERSION" help:"Version of scikit-learn that will read scaler.pkl, so that it does not warn. Default: ${sklearn_version}."`
	JSON    bool   `help:"Print JSON."`
}

func (c *modelExportCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	to, err := filepath.Abs(cmp.Or(c.To, c.Name))
	if err != nil {
		return err
	}
	return withModels(ctx, g, func(models modelBook) error {
		dir, err := models.Export(ctx, c.Name, to, c.Sklearn)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(out, map[string]string{"dir": dir})
		}
		_, err = fmt.Fprintln(out, dir)
		return err
	})
}

type modelImportCmd struct {
	Dir        string   `arg:"" help:"Folder with config.json and model.safetensors, as transformers writes it."`
	Machine    string   `placeholder:"NAME" help:"Machine it is for. Default: from the folder's name, model_<machine>_<YYYYMMDD_HHMMSS>."`
	Sensors    []string `placeholder:"NAME" help:"Sensors of its channels, in their order. Default: the folder's card, or the old system's six."`
	Scaler     string   `placeholder:"FILE" help:"Pickle of its MinMaxScaler. Default: found in the folder or beside it."`
	Forecaster string   `placeholder:"NAME" help:"Forecaster it is for. Default: the folder's card, or ${short_forecaster}."`
	Challenger bool     `help:"It waits to be promoted, instead of serving at once."`
	JSON       bool     `help:"Print JSON."`
}

func (c *modelImportCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	scaler := c.Scaler
	if scaler != "" {
		if scaler, err = filepath.Abs(scaler); err != nil {
			return err
		}
	}
	return withModels(ctx, g, func(models modelBook) error {
		m, err := models.Import(ctx, dir, model.ImportOptions{
			Machine: c.Machine, Sensors: c.Sensors, Scaler: scaler, Forecaster: c.Forecaster, Challenger: c.Challenger,
		})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(out, m)
		}
		_, err = fmt.Fprintf(out, "%s: %s for %s, %d parameters, looks back %d rows and ahead %d, sensors %s; %s\n",
			m.Name, m.Family, m.Machine, m.Parameters, m.Context, m.Horizon, strings.Join(m.Sensors, ", "), m.State)
		return err
	})
}
