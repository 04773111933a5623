package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fettle"
)

// A span of time that somebody labelled as a fault.
type span struct{ from, to time.Time }

func (s span) holds(t time.Time) bool { return !t.Before(s.from) && !t.After(s.to) }

// tellSKAB replays a run in which a valve is closed, and wants the fault caught
// with its causes, none before it, and no label in the store.
func tellSKAB(ctx context.Context, s *server, data string) error {
	const machine = "skab-valve1-0"
	file := filepath.Join(data, "skab", "valve1", "0.csv")
	fault, err := skabFault(file)
	if err != nil {
		return err
	}
	out, err := s.Command(ctx, "replay", file, "--broker", "mqtt://"+s.MQTT, "--machine", machine, "--speed", "max")
	if err != nil {
		return err
	}
	fmt.Print(indent(out))
	m, err := s.judged(ctx, machine)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(m.Sensors, func(sensor string) bool { return sensor == "anomaly" || sensor == "changepoint" }) {
		return fmt.Errorf("a label column reached the store: %v", m.Sensors)
	}
	fmt.Printf("stored %d readings of %d sensors; champion %s\n", m.Rows, len(m.Sensors), m.Model)
	alarms, err := s.alarms(ctx, machine)
	if err != nil {
		return err
	}
	fmt.Printf("labelled fault: %s to %s\n", fault.from.Format(time.TimeOnly), fault.to.Format(time.TimeOnly))
	caught := false
	for _, a := range alarms {
		where := "before the fault: false"
		if fault.holds(a.RaisedAt) {
			where = fmt.Sprintf("%s into the fault", a.RaisedAt.Sub(fault.from))
			caught = true
		} else if a.RaisedAt.After(fault.to) {
			where = "after the fault: the rig does not come back to its first state"
		}
		fmt.Printf("alarm %s (%s, %s): %s\n", a.RaisedAt.Format(time.TimeOnly), a.Priority, where, a.Sentence)
	}
	if !caught {
		return fmt.Errorf("the fault was not caught")
	}
	return nil
}

// skabFault reads when the run's label says that the fault is on.
func skabFault(file string) (span, error) {
	rows, err := table(file, ';')
	if err != nil {
		return span{}, err
	}
	label := slices.Index(rows[0], "anomaly")
	var fault span
	for _, row := range rows[1:] {
		if row[label] == "0.0" {
			continue
		}
		at, err := time.Parse(time.DateTime, row[0])
		if err != nil {
			return span{}, err
		}
		if fault.from.IsZero() {
			fault.from = at
		}
		fault.to = at
	}
	return fault, nil
}

// tellNAB replays three months, and reports every labelled window and the false
// alarms beside them, the probation period (the first 15 %) left out.
func tellNAB(ctx context.Context, s *server, data string) error {
	const machine = "nab-machine-temperature"
	file := filepath.Join(data, "nab", "machine_temperature_system_failure.csv")
	windows, err := nabWindows(filepath.Join(data, "nab", "combined_windows.json"))
	if err != nil {
		return err
	}
	out, err := s.Command(ctx, "replay", file, "--broker", "mqtt://"+s.MQTT, "--machine", machine, "--speed", "max")
	if err != nil {
		return err
	}
	fmt.Print(indent(out))
	m, err := s.judged(ctx, machine)
	if err != nil {
		return err
	}
	if err := s.trains(ctx, machine); err != nil {
		return err
	}
	probation := m.First.Add(m.Last.Sub(m.First) * 15 / 100)
	fmt.Printf("stored %d readings (%s to %s); champion %s\n", m.Rows, m.First.Format(time.DateOnly), m.Last.Format(time.DateOnly), m.Model)
	alarms, err := s.alarms(ctx, machine)
	if err != nil {
		return err
	}
	for i, w := range windows {
		fmt.Printf("window %d, %s to %s: %s\n", i+1, w.from.Format("2006-01-02 15:04"), w.to.Format("2006-01-02 15:04"), caughtIn(w, alarms))
	}
	falseAlarms := slices.DeleteFunc(slices.Clone(alarms), func(a fettle.Alarm) bool {
		return a.RaisedAt.Before(probation) || slices.ContainsFunc(windows, func(w span) bool { return w.holds(a.RaisedAt) })
	})
	weeks := m.Last.Sub(probation).Hours() / (24 * 7)
	fmt.Printf("false alarms outside the windows, after probation: %d, %.2f a week\n", len(falseAlarms), float64(len(falseAlarms))/weeks)
	for _, a := range falseAlarms {
		fmt.Printf("  %s %s\n", a.RaisedAt.Format("2006-01-02 15:04"), a.Sentence)
	}
	return nil
}

// caughtIn says how a window was seen: the middle of it is where NAB puts the
// anomaly itself.
func caughtIn(w span, alarms []fettle.Alarm) string {
	middle := w.from.Add(w.to.Sub(w.from) / 2)
	for _, a := range alarms {
		if w.holds(a.RaisedAt) {
			return fmt.Sprintf("caught %s, %s from its middle", a.RaisedAt.Format("2006-01-02 15:04"), a.RaisedAt.Sub(middle))
		}
		if a.RaisedAt.Before(w.from) && (a.ClearedAt == nil || a.ClearedAt.After(w.from)) {
			return fmt.Sprintf("an alarm of %s was still open", a.RaisedAt.Format("2006-01-02 15:04"))
		}
	}
	return "missed"
}

func nabWindows(file string) ([]span, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all map[string][][2]string
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	var windows []span
	for name, pairs := range all {
		if !strings.HasSuffix(name, "machine_temperature_system_failure.csv") {
			continue
		}
		for _, pair := range pairs {
			from, err1 := time.Parse("2006-01-02 15:04:05.000000", pair[0])
			to, err2 := time.Parse("2006-01-02 15:04:05.000000", pair[1])
			if err1 != nil || err2 != nil {
				return nil, fmt.Errorf("%s: %v is no window", file, pair)
			}
			windows = append(windows, span{from, to})
		}
	}
	return windows, nil
}

func table(file string, separator rune) ([][]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma = separator
	return r.ReadAll()
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}
