package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"fettle/internal/model"
)

// printDetails prints what is known of a version.
func printDetails(out io.Writer, d model.Details) error {
	t := newTable(out)
	t.row("name", d.Name)
	t.row("machine", d.Machine)
	t.row("forecaster", d.Forecaster)
	t.row("state", stateText(d))
	t.row("family", fmt.Sprintf("%s, %d parameters", d.Family, d.Parameters))
	t.row("sensors", strings.Join(d.Sensors, ", "))
	step := "the machine's own step"
	if d.StepSeconds > 0 {
		step = fmt.Sprintf("%g s", d.StepSeconds)
	}
	t.row("looks", fmt.Sprintf("back %d rows, ahead %d, each %s", d.Context, d.Horizon, step))
	t.row("created", dayTime(d.Created))
	if d.Source != "" {
		t.row("source", d.Source)
	}
	printTraining(t, d)
	t.row("sha256", d.SHA256)
	t.row("files", strings.Join(d.Files, ", "))
	for i, one := range d.History {
		title := ""
		if i == 0 {
			title = "decided"
		}
		t.row(title, decidedText(one, d.Name))
	}
	return t.Flush()
}

func printTraining(t table, d model.Details) {
	training := d.Training
	if training == nil {
		return
	}
	t.row("learned from", fmt.Sprintf("%s to %s, %d rows", dayTime(training.From), dayTime(training.Until), d.TrainedRows))
	var how []string
	for _, part := range []struct{ name, value string }{
		{"", training.Preset}, {"seed ", fmt.Sprint(training.Seed)}, {"from ", training.Parent}, {"on ", training.Engine},
		{"started by ", training.StartedBy}, {"in ", (time.Duration(training.Seconds*1000) * time.Millisecond).String()},
	} {
		if part.value != "" {
			how = append(how, part.name+part.value)
		}
	}
	t.row("trained", strings.Join(how, ", "))
	for i, s := range training.Scores {
		title := ""
		if i == 0 {
			title = "held out"
		}
		t.row(title, fmt.Sprintf("%-24s MSE %.4g  MAE %.4g  (%d windows)", s.Name, s.MSE, s.MAE, s.Windows))
	}
}

func stateText(d model.Details) string {
	text := fmt.Sprintf("%s since %s", d.State, dayTime(d.Since))
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	return text + byWhom(d.By)
}

// decidedText tells one decision from the side of a version.
func decidedText(one model.Decided, name string) string {
	text := dayTime(one.Time) + "  " + string(one.Action)
	switch {
	case one.Model != name:
		text += " " + one.Model + " in its place"
	case one.Before != "" && one.Before != name:
		text += " in place of " + one.Before
	}
	if one.Reason != "" {
		text += ": " + one.Reason
	}
	return text + byWhom(one.By)
}

func byWhom(by string) string {
	if by == "" {
		return ""
	}
	return " (" + by + ")"
}

func dayTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
