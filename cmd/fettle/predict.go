package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"fettle"
	"fettle/internal/forecast"
	"fettle/internal/model"
)

type predictCmd struct {
	columnFlags
	File   string `arg:"" placeholder:"FILE" help:"Table with a header line and one row a time; the separator (; tab or ,) is found."`
	Model  string `required:"" placeholder:"DIR" help:"Folder of the model: one that fettle fit wrote, or one with config.json, model.safetensors and a scaler."`
	At     moment `placeholder:"TIME" help:"Forecast from this time, seeing no row after it. Default: the last row's."`
	Steps  int    `placeholder:"N" help:"Print so many steps. Default: as far as the model looks."`
	Format string `default:"table" enum:"table,csv,json" help:"table, csv or json."`
	JSON   bool   `help:"Short for --format json."`
}

func (predictCmd) Help() string {
	return "Needs no server. Times are UTC; units are those of the configuration.\n\n" + examples(
		"fettle predict log.csv --model press-model",
		"fettle predict log.csv --model press-model --at '2026-03-02 07:00' --steps 5",
		"fettle predict log.csv --model press-model --format csv > forecast.csv",
	)
}

// Validate checks what kong cannot.
func (c *predictCmd) Validate() error {
	if c.Steps < 0 {
		return fmt.Errorf("--steps is %d; expected a number of steps", c.Steps)
	}
	return nil
}

func (c *predictCmd) Run(g *globals, out io.Writer) error {
	version, err := model.Read(c.Model)
	if err != nil {
		return err
	}
	if c.Steps > version.Horizon {
		return usage(fmt.Errorf("--steps is %d; expected at most %d, as far as the model looks ahead", c.Steps, version.Horizon))
	}
	cfg, err := g.config()
	if err != nil {
		return err
	}
	window, err := readTable(c.File, c.options(machineOf(c.File)))
	if err != nil {
		return err
	}
	if window, err = ofSensors(window, version.Sensors, c.File); err != nil {
		return err
	}
	if c.At.given() {
		window = until(window, c.At.time(time.Now()))
	}
	c.warn(version, window)
	made, err := forecast.Once(version, window)
	if err != nil {
		return fmt.Errorf("predict %s: %w", c.File, err)
	}
	if c.Steps > 0 {
		made = shortened(made, c.Steps)
	}
	return c.print(out, made, cfg.Units)
}

// warn says what may make the forecast worse than it looks.
func (c *predictCmd) warn(version model.Version, w fettle.Window) {
	if w.Rows() < max(2, version.Context) {
		return // an error says so
	}
	back := w.Slice(w.Rows()-version.Context, w.Rows())
	step := back.Step().Seconds()
	if own := version.StepSeconds; own > 0 && math.Abs(step/own-1) > 0.2 {
		note("the rows are %s apart; the model was trained on steps of %s, and counts them as such", duration(step), duration(own))
	}
	span := time.Duration(back.TimesMicros[back.Rows()-1]-back.TimesMicros[0]) * time.Microsecond
	if span.Seconds() > 1.5*step*float64(back.Rows()-1) {
		note("the %d rows that the forecast looks back on have gaps: they reach over %s", back.Rows(), duration(span.Seconds()))
	}
}

// shortened keeps the first steps of a forecast.
func shortened(f fettle.Forecast, steps int) fettle.Forecast {
	f.Sensors = slices.Clone(f.Sensors)
	for i := range f.Sensors {
		s := &f.Sensors[i]
		s.Values = s.Values[:steps]
		if len(s.Lower) > 0 {
			s.Lower, s.Upper = s.Lower[:steps], s.Upper[:steps]
		}
	}
	return f
}

func (c *predictCmd) print(out io.Writer, f fettle.Forecast, units map[string]string) error {
	switch {
	case c.JSON || c.Format == "json":
		return printJSON(out, forecastWithUnits{f, unitsOf(f, units)})
	case c.Format == "csv":
		return forecastAsCSV(out, f)
	}
	header := []any{"TIME (UTC)"}
	for _, s := range f.Sensors {
		name := s.Sensor
		if unit := units[name]; unit != "" {
			name += " (" + unit + ")"
		}
		header = append(header, name)
	}
	t := newTable(out)
	t.row(header...)
	for step := range f.Steps() {
		cells := []any{stamp(f.TimeOf(step))}
		for _, s := range f.Sensors {
			cells = append(cells, fmt.Sprintf("%.5g", s.Values[step]))
		}
		t.row(cells...)
	}
	return t.Flush()
}

// forecastAsCSV writes a column a sensor, and two more where there is a band.
func forecastAsCSV(out io.Writer, f fettle.Forecast) error {
	header := []string{"time"}
	for _, s := range f.Sensors {
		header = append(header, s.Sensor)
		if len(s.Lower) > 0 {
			header = append(header, s.Sensor+"_lower", s.Sensor+"_upper")
		}
	}
	return writeCSV(out, header, func(write func(...string) error) error {
		for step := range f.Steps() {
			record := []string{f.TimeOf(step).UTC().Format(time.RFC3339Nano)}
			for _, s := range f.Sensors {
				record = append(record, shortest(s.Values[step]))
				if len(s.Lower) > 0 {
					record = append(record, shortest(s.Lower[step]), shortest(s.Upper[step]))
				}
			}
			if err := write(record...); err != nil {
				return err
			}
		}
		return nil
	})
}

func shortest(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

type forecastWithUnits struct {
	fettle.Forecast
	Units map[string]string `json:"units,omitempty"`
}

// unitsOf are the known units of a forecast's sensors.
func unitsOf(f fettle.Forecast, units map[string]string) map[string]string {
	known := map[string]string{}
	for _, s := range f.Sensors {
		if unit := units[s.Sensor]; unit != "" {
			known[s.Sensor] = unit
		}
	}
	return known
}
