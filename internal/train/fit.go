package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"fettle"
	"fettle/internal/model"
	"fettle/patchtst"
)

// Plan says what Fit will take.
func (s *Set) Plan(c patchtst.Config, o patchtst.Options) (patchtst.Plan, error) {
	return patchtst.PlanFit(c, s.rows[0], s.options(c, o))
}

// options are the caller's, with this set's validation part.
func (s *Set) options(c patchtst.Config, o patchtst.Options) patchtst.Options {
	o.ValidationShare = 0
	if s.validated() {
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

// Publication is what a model's card has to say about a PatchTST of this set.
func (s *Set) Publication(m *patchtst.Model) model.Publication {
	c := m.Config()
	return model.Publication{
		Machine: s.Machine, Family: model.PatchTST, Sensors: s.Sensors,
		Context: c.ContextLength, Horizon: c.PredictionLength, StepSeconds: s.Step.Seconds(),
		TrainedRows: int64(s.rows[0]), Parameters: m.Parameters(),
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
	if s.countOf(s.training(), size) == 0 {
		return s.tooFew(length, "to learn from", s.rows[0])
	}
	if s.validated() && s.countOf(s.validation(size.Context), size) == 0 {
		return s.tooFew(length, "to validate on", s.rows[1]-s.rows[0])
	}
	return nil
}

// enoughToJudge is Enough, and wants windows to judge by, too: a model about
// which nothing can be said will not serve.
func (s *Set) enoughToJudge(size Size) error {
	if err := s.Enough(size); err != nil {
		return err
	}
	if part, _ := s.judging(size.Context); s.countOf(part, size) == 0 {
		return s.tooFew(size.Context+size.Horizon, "to judge by", s.Rows-s.rows[1])
	}
	return nil
}

func (s *Set) tooFew(length int, what string, rows int) error {
	text := fmt.Sprintf("no window of %d rows without a gap %s in %d rows", length, what, rows)
	if s.Gaps > 0 {
		text += fmt.Sprintf(", which have %d gaps", s.Gaps)
	}
	if s.LeftOut > 0 {
		text += fmt.Sprintf("; %d of all rows are in quarantine", s.LeftOut)
	}
	if worst, missing := s.emptiest(); missing > 0 {
		text += fmt.Sprintf("; %s misses most, %d values of %d", worst, missing, s.Rows)
	}
	return fettle.Errorf(fettle.Invalid, "%s: give more rows, a shorter look-back or horizon, or fewer columns", text)
}

// emptiest is the sensor with the most missing values.
func (s *Set) emptiest() (sensor string, missing int) {
	for i, n := range s.missing {
		if n > missing {
			sensor, missing = s.Sensors[i], n
		}
	}
	return sensor, missing
}
