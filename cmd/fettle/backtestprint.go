package main

import (
	"fmt"
	"io"
	"strings"

	"fettle/internal/app"
	"fettle/internal/forecast"
)

// printBacktest writes a report for people.
func printBacktest(out io.Writer, r app.BacktestReport) error {
	fmt.Fprintf(out, "%s: %d readings, %s to %s (%s)\n", r.Machine, r.Rows, stamp(r.From), stamp(r.To), duration(r.To.Sub(r.From).Seconds()))
	for _, f := range r.Forecasters {
		if err := printForecaster(out, f); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nVerdicts: %d readings judged, %d of them while learning; %d anomalous\n", r.Verdicts.Judged, r.Verdicts.Learning, r.Verdicts.Anomalous)
	if err := printPastAlarms(out, r); err != nil {
		return err
	}
	if len(r.Trainings) > 0 {
		fmt.Fprintln(out)
		if err := printRuns(out, r.Trainings); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "\nModels:")
	t := newTable(out)
	for _, d := range r.Decisions {
		t.row(stamp(d.Time), d.Forecaster, d.Action, d.Model, d.Reason)
	}
	return t.Flush()
}

// printForecaster writes errors beside the yardsticks', and how bands held.
func printForecaster(out io.Writer, f app.ForecasterReport) error {
	if f.Why != "" {
		_, err := fmt.Fprintf(out, "\nForecaster %s: nothing to tell: %s\n", f.Name, f.Why)
		return err
	}
	fmt.Fprintf(out, "\nForecaster %s: %d steps scored; mean absolute errors\n", f.Name, f.Steps)
	t := newTable(out)
	t.row("SENSOR", "CHAMPION", "RIDGE", "LAST VALUE", "SEASONAL", "SKILL", "IN BAND", "PROMISED", "WIDTH")
	var beaten []string
	for _, s := range f.Sensors {
		ridge := "serves"
		if s.Ridge != nil {
			ridge = errorOf(*s.Ridge)
		}
		t.row(s.Sensor, figure(&s.MAE), ridge, errorOf(s.Last), errorOf(s.Seasonal), fmt.Sprintf("%.3f", s.Skill), percent(s.Coverage), percent(&s.Promise), figure(s.Width))
		if s.BeatenBy != "" {
			beaten = append(beaten, s.Sensor+" by "+s.BeatenBy)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(beaten) > 0 {
		fmt.Fprintf(out, "The champion is beaten: %s.\n", strings.Join(beaten, ", "))
	}
	return nil
}

func errorOf(y forecast.YardstickScores) string {
	if y.Steps == 0 {
		return "-"
	}
	return figure(&y.MAE)
}

func figure(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *x)
}

func percent(share *float64) string {
	if share == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100**share)
}

func printPastAlarms(out io.Writer, r app.BacktestReport) error {
	if len(r.Alarms) == 0 {
		_, err := fmt.Fprintln(out, "No alarm.")
		return err
	}
	fmt.Fprintln(out)
	t := newTable(out)
	t.row("RAISED (UTC)", "CLEARED", "MACHINE", "CAUSE", "PRIORITY", "WHY")
	for _, a := range r.Alarms {
		cleared := "-"
		if a.ClearedAt != nil {
			cleared = stamp(*a.ClearedAt)
		}
		t.row(stamp(a.RaisedAt), cleared, a.Machine, a.Cause, a.Priority, a.Sentence)
	}
	return t.Flush()
}
