package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"fettle"
	"fettle/internal/forecast"
	"fettle/internal/model"
	"fettle/patchtst"
)

// Plan says what Fit will take.
func (s *Set) Plan(c patchtst.Config, o patchtst.Options) (patchtst.Plan, error) {
	return patchtst.PlanFit(c, s.borders[0], s.options(c, o))
}

// options are the caller's, with this set's validation part.
func (s *Set) options(c patchtst.Config, o patchtst.Options) patchtst.Options {
	o.ValidationShare = 0
	if s.borders[0] < s.borders[1] {
		validation := s.validation(c.ContextLength)
		o.Validation = &validation
	}
	return o
}

// Fit trains a PatchTST on the set's oldest part. When ctx ends it answers with
// the context's error, and with the weights of the best epoch so far if there
// was one: the report's Best says so.
func (s *Set) Fit(ctx context.Context, c patchtst.Config, o patchtst.Options) (*patchtst.Model, patchtst.Report, error) {
	m, err := patchtst.New(c, o.Seed)
	if err != nil {
		return nil, patchtst.Report{}, err
	}
	report, err := patchtst.Fit(ctx, m, s.training(), s.options(c, o))
	return m, report, err
}

// FitRidge fits a ridge to all rows of the set: it needs none to judge its
// epochs by.
func (s *Set) FitRidge(size Size) (*forecast.Ridge, error) {
	return forecast.FitRidge(s.Window, size.Context, size.Horizon)
}

// Publication is what a model's card has to say about a PatchTST of this set.
func (s *Set) Publication(m *patchtst.Model) model.Publication {
	c := m.Config()
	return model.Publication{
		Machine: s.Window.Machine, Family: model.PatchTST, Sensors: s.Window.Sensors,
		Context: c.ContextLength, Horizon: c.PredictionLength, StepSeconds: s.Step.Seconds(),
		TrainedRows: int64(s.borders[0]), Parameters: m.Parameters(),
	}
}

// Save writes a PatchTST with this set's scaler into a folder.
func (s *Set) Save(dir string, m *patchtst.Model) error {
	text, err := json.MarshalIndent(s.Scaler, "", "  ")
	if err != nil {
		return fmt.Errorf("encode scaler: %w", err)
	}
	return errors.Join(m.Save(dir), os.WriteFile(filepath.Join(dir, "scaler.json"), append(text, '\n'), 0o644))
}

// Enough tells, before anything is trained, whether there are rows for windows
// of a size in every part.
func (s *Set) Enough(size Size) error {
	length := size.Context + size.Horizon
	if n := s.windowsOf(s.training(), size).count; n == 0 {
		return s.tooFew(length, "to learn from", s.borders[0])
	}
	if s.borders[0] < s.borders[1] && s.windowsOf(s.validation(size.Context), size).count == 0 {
		return s.tooFew(length, "to validate on", s.borders[1]-s.borders[0])
	}
	return nil
}

func (s *Set) tooFew(length int, what string, rows int) error {
	text := fmt.Sprintf("no window of %d rows without a gap %s in %d rows", length, what, rows)
	if s.Gaps > 0 {
		text += fmt.Sprintf(", which have %d gaps", s.Gaps)
	}
	if worst, missing := s.emptiest(); missing > 0 {
		text += fmt.Sprintf("; %s misses most, %d values of %d", worst, missing, s.Window.Rows())
	}
	return fettle.Errorf(fettle.Invalid, "%s: give more rows, a shorter look-back or horizon, or fewer columns", text)
}

// emptiest is the sensor with the most missing values.
func (s *Set) emptiest() (sensor string, missing int) {
	for i, column := range s.Window.Columns {
		n := 0
		for _, v := range column {
			if v != v {
				n++
			}
		}
		if n > missing {
			sensor, missing = s.Window.Sensors[i], n
		}
	}
	return sensor, missing
}
