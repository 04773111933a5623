package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/model"
)

type modelCmd struct {
	Import modelImportCmd `cmd:"" help:"Import a model that was trained elsewhere."`
	List   modelListCmd   `cmd:"" help:"List the versions of all models."`
}

func (modelCmd) Help() string {
	return "A running server notices new models by itself.\n\n" + examples(
		"fettle model import models/model_cnc-mill-5-axis_20251124_093154",
		"fettle model import checkpoint --machine press-3 --sensors current,tempA --scaler scaler.pkl",
		"fettle model list",
	)
}

type modelImportCmd struct {
	Dir     string   `arg:"" help:"Folder with config.json and model.safetensors, as transformers writes it."`
	Machine string   `placeholder:"NAME" help:"Machine it is for. Default: from the folder's name, model_<machine>_<YYYYMMDD_HHMMSS>."`
	Sensors []string `placeholder:"NAME" help:"Sensors of its channels, in their order. Default: the folder's card, or the old system's six."`
	Scaler  string   `placeholder:"FILE" help:"Pickle of its MinMaxScaler. Default: found in the folder or beside it."`
	JSON    bool     `help:"Print JSON."`
}

func (c *modelImportCmd) Run(g *globals, out io.Writer) error {
	models, err := openModels(g)
	if err != nil {
		return err
	}
	m, err := models.Import(c.Dir, model.ImportOptions{Machine: c.Machine, Sensors: c.Sensors, Scaler: c.Scaler})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, m)
	}
	_, err = fmt.Fprintf(out, "%s: %s for %s, %d parameters, looks back %d rows and ahead %d, sensors %s\n",
		m.Name, m.Family, m.Machine, m.Parameters, m.Context, m.Horizon, strings.Join(m.Sensors, ", "))
	return err
}

type modelListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *modelListCmd) Run(g *globals, out io.Writer) error {
	models, err := openModels(g)
	if err != nil {
		return err
	}
	list := models.List()
	for _, p := range models.Problems() {
		note("%s cannot be used: %s", p.Name, p.Reason)
	}
	if c.JSON {
		return printJSON(out, append([]fettle.Model{}, list...))
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "There are no models yet; each machine gets its first one after 120 readings.")
		return err
	}
	t := newTable(out)
	t.row("NAME", "MACHINE", "FAMILY", "SERVES", "CREATED (UTC)", "SENSORS")
	for _, m := range list {
		serves := "-"
		if m.Champion {
			serves = "yes"
		}
		t.row(m.Name, m.Machine, m.Family, serves, m.Created.UTC().Format("2006-01-02 15:04:05"), strings.Join(m.Sensors, ","))
	}
	return t.Flush()
}

// openModels opens the folder of models, beside a server if one runs.
func openModels(g *globals) (*model.Folder, error) {
	cfg, err := g.config()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Data.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	return model.Open(cfg.Data.Models(), time.Now, nil, newLogger(os.Stderr, config.Log{Level: "error", Format: "text"}))
}
