package main

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"

	"fettle"
	"fettle/internal/process"
)

// tellFaultFree replays a run without faults, has it forecast and trained, and
// reports what was cried for nothing.
func tellFaultFree(ctx context.Context, s *server, data string) error {
	const machine = "skab-fault-free"
	file := filepath.Join(data, "skab", "anomaly-free", "anomaly-free.csv")
	out, err := s.Command(ctx, "replay", file, "--broker", "mqtt://"+s.MQTT, "--machine", machine, "--speed", "max")
	if err != nil {
		return err
	}
	fmt.Print(indent(out))
	m, err := s.judged(ctx, machine)
	if err != nil {
		return err
	}
	fmt.Printf("stored %d readings of %d sensors; champion %s\n", m.Rows, len(m.Sensors), m.Model)
	if err := s.trains(ctx, machine); err != nil {
		return err
	}
	alarms, err := s.alarms(ctx, machine)
	if err != nil {
		return err
	}
	fmt.Printf("alarms, all of them false: %d\n", len(alarms))
	for _, a := range alarms {
		fmt.Printf("  %s %s\n", a.RaisedAt.Format("15:04:05"), a.Sentence)
	}
	return nil
}

// smallPreset trains within a minute; what it is for is that nothing has to be
// written for a machine that fettle never saw.
const smallPreset = `{"preset":"deployed","d_model":32,"ffn":64,"epochs":5,"windows_per_epoch":2000}`

// trains wants forecasts of a machine that were scored, beside the yardsticks,
// and a training that says whether its model serves.
func (s *server) trains(ctx context.Context, machine string) error {
	var scores struct {
		Steps    int64
		Skill    *float64
		Coverage *float64
		BeatenBy string `json:"beaten_by"`
	}
	var m fettle.Machine
	path := "/api/v1/machines/" + url.PathEscape(machine)
	if err := s.get(ctx, path, &m); err != nil {
		return err
	}
	from := url.QueryEscape(m.First.UTC().Format("2006-01-02T15:04:05Z"))
	if err := s.get(ctx, path+"/accuracy?from="+from, &scores); err != nil {
		return err
	}
	if scores.Steps == 0 || scores.Skill == nil || scores.Coverage == nil {
		return fmt.Errorf("no forecast of %s was scored", machine)
	}
	fmt.Printf("forecasts: %d steps scored, skill %.3f over the better yardstick, bands held %.1f %% (promised 90 %%); beaten by: %q\n", scores.Steps, *scores.Skill, 100**scores.Coverage, scores.BeatenBy)

	if _, err := s.Command(ctx, "train", machine, "--forecaster", fettle.ShortForecaster, "--preset", smallPreset); err != nil {
		return err
	}
	var run fettle.Training
	err := process.WaitFor(ctx, "the training of "+machine, func() (bool, error) {
		var list struct{ Trainings []fettle.Training }
		err := s.get(ctx, "/api/v1/training?machine="+url.QueryEscape(machine), &list)
		for _, t := range list.Trainings {
			if t.Trigger == "hand" {
				run = t
			}
		}
		return run.State.Over(), err
	})
	if err != nil {
		return err
	}
	if run.State != fettle.TrainingSucceeded {
		return fmt.Errorf("training of %s %s: %s", machine, run.State, run.Reason)
	}
	fmt.Printf("trained in %.0f s on %d rows: %s\n", run.Seconds, run.Rows, run.Reason)
	return nil
}
