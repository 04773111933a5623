package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/model"
	"fettle/internal/rename"
)

// The files of a run's folder.
const (
	jobFile        = "job.json"
	rowsFile       = "rows.parquet" // while the job is being written
	checkpointName = "checkpoint"
)

// carry carries out one run, from wherever it was left.
func (m *Manager) carry(ctx context.Context, t fettle.Training) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.mu.Lock()
	a := m.active[t.ID]
	if a.cancel = cancel; a.cause != nil {
		cancel(a.cause)
	}
	m.mu.Unlock()
	err := m.attempt(ctx, t)
	m.conclude(ctx, t.ID, err)
	m.mu.Lock()
	delete(m.active, t.ID)
	delete(m.told, t.ID)
	m.mu.Unlock()
}

// attempt has a worker do the run's job, and publishes what came of it.
func (m *Manager) attempt(ctx context.Context, t fettle.Training) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	underWay, err := m.reach(ctx, t)
	if err != nil {
		return err
	}
	if t.Attempts >= m.cfg.Attempts && !underWay { // of servers that were killed, too
		return &lostError{reason: fmt.Sprintf("its worker was started %d times and never came to an end", t.Attempts), advice: "see what killed the server or the worker, the system's log says whether memory ran out; then train again"}
	}
	job, err := m.job(ctx, t)
	if err != nil {
		return err
	}
	m.change(t.ID, func(t *fettle.Training) {
		if t.State != fettle.TrainingQueued { // stopped meanwhile
			return
		}
		now := m.Now().UTC()
		t.State, t.StartedAt, t.Reason = fettle.TrainingRunning, &now, ""
		if !underWay {
			t.Attempts++
		}
		t.Quarantined = job.Quarantined
		if t.Plan == nil || t.Plan.Rows != job.Data.Rows {
			t.Plan = m.planOf(job)
		}
	})
	m.counted(t.ID, !underWay)
	m.announce(t.ID)
	line, err := m.runner(t).Run(ctx, filepath.Join(m.folder(t.ID), jobFile), func(p Progress) { m.progress(t.ID, p.TrainingProgress) })
	if err != nil {
		return err
	}
	result, err := parseResult(line, job)
	if err != nil {
		return err
	}
	if f := result.Error; f != nil {
		return &fettle.Error{Kind: fettle.Invalid, Reason: "worker refused", Err: errors.New(f.Message)}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return m.publish(t, job, result)
}

// runner does the jobs of where a run is done.
func (m *Manager) runner(t fettle.Training) Runner {
	if t.On != "" {
		return m.cluster
	}
	return m.Runner
}

// counted notes whether this attempt counts as a start of the worker.
func (m *Manager) counted(id uint64, is bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.active[id]; a != nil {
		a.counted = is
	}
}

// uncount takes back the start of a worker that was no failure of its own.
func (m *Manager) uncount(id uint64, t *fettle.Training) {
	if a := m.active[id]; a != nil && a.counted { // the mutex is held
		t.Attempts = max(0, t.Attempts-1)
	}
}

// announce says what a run will take.
func (m *Manager) announce(id uint64) {
	t, err := m.Get(id)
	if err != nil || t.Plan == nil {
		return
	}
	m.log.Info("training started", "machine", t.Machine, "forecaster", t.Forecaster, "run", id, "attempt", t.Attempts, "rows", t.Plan.Rows,
		"parameters", t.Plan.Parameters, "windows", t.Plan.Windows, "epochs", t.Plan.Epochs, "seconds_if_alone", int(t.Plan.Seconds), "memory", mebibytes(t.Plan.Bytes))
}

// planOf is what a job will take; nil if that cannot be told.
func (m *Manager) planOf(job *Job) *fettle.TrainingPlan {
	plan, err := PlanRun(Recipe{Network: job.Network, Options: job.options()}, job.Data.Rows, len(job.Data.Sensors))
	if err != nil {
		return nil
	}
	return &plan
}

// conclude writes down how a run ended, or that it will go on.
func (m *Manager) conclude(ctx context.Context, id uint64, err error) {
	cause := context.Cause(ctx)
	lost, absent := new(lostError), new(absentError)
	switch {
	case err == nil:
		m.discard(id)
	case errors.Is(cause, errPaused):
		// That was written down when it was asked for; it is no failed attempt.
		m.change(id, func(t *fettle.Training) { m.uncount(id, t) })
		if t, err := m.Get(id); err == nil && t.State.Over() { // cancelled before the worker had ended
			m.discard(id)
		}
	case errors.Is(cause, errCancelled):
		m.discard(id)
	case cause != nil: // the server stops
		m.change(id, func(t *fettle.Training) {
			if t.State == fettle.TrainingRunning {
				if t.State = fettle.TrainingQueued; t.On == "" { // on a cluster it goes on
					m.uncount(id, t)
				}
			}
		})
	case errors.As(err, &absent):
		m.waitFor(id, absent)
	case errors.As(err, &lost) && lost.again && m.mayTryAgain(id):
		next := cmp.Or(lost.next, "it goes on from its checkpoint")
		m.log.Warn("training worker was lost", "run", id, "err", err, "next", next)
		m.change(id, func(t *fettle.Training) {
			if !t.State.Over() && t.State != fettle.TrainingPaused {
				t.State, t.Reason = fettle.TrainingQueued, err.Error()+"; "+next
			}
		})
	default:
		m.fail(id, err)
	}
}

func (m *Manager) mayTryAgain(id uint64) bool {
	t, err := m.Get(id)
	return err == nil && t.Attempts < m.cfg.Attempts
}

// fail ends a run that came to nothing.
func (m *Manager) fail(id uint64, err error) {
	advice := "see the reason; then train again"
	lost := new(lostError)
	switch {
	case errors.As(err, &lost):
		advice = lost.advice
	case db.NoSpace(err):
		advice = "free some of the disk; then train again"
	case fettle.KindOf(err) == fettle.Unavailable:
		advice = "wait for more readings; then train again"
	}
	m.change(id, func(t *fettle.Training) {
		if t.State.Over() {
			return
		}
		now := m.Now().UTC()
		t.State, t.EndedAt, t.Reason, t.Advice = fettle.TrainingFailed, &now, err.Error(), advice
		if lost.again && t.Attempts > 1 {
			t.Reason += fmt.Sprintf(" (started %d times)", t.Attempts)
		}
	})
	t, _ := m.Get(id)
	m.log.Warn("training failed", "machine", t.Machine, "run", id, "err", err, "advice", advice)
	m.discard(id)
}

// job is what the run's worker is told: as it was written down before a
// restart, so that it goes on to the same result, or made anew. A champion's
// files stay on the disk: a run on a cluster may be one of many that wait.
func (m *Manager) job(ctx context.Context, t fettle.Training) (*Job, error) {
	select {
	case m.packing <- struct{}{}:
		defer func() { <-m.packing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	job, err := m.openOrMakeJob(ctx, t)
	if err == nil && job.Champion != nil {
		job.Champion.Files = nil
	}
	return job, err
}

func (m *Manager) openOrMakeJob(ctx context.Context, t fettle.Training) (*Job, error) {
	dir := m.folder(t.ID)
	job, err := openJob(filepath.Join(dir, jobFile))
	if err == nil {
		return job, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("job of a training run cannot be read and is made anew", "run", t.ID, "err", err)
	}
	if err := clearFolder(dir); err != nil {
		return nil, fmt.Errorf("make the folder of the run: %w", err)
	}
	return m.makeJob(ctx, t)
}

// clearFolder makes a run's folder, or deletes what is in it but for where the
// run is to be done.
func clearFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.Name() != errandFile {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	return err
}

// openJob reads a job's file, but for the readings in it.
func openJob(path string) (*Job, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readJobHead(file)
}

// makeJob gathers all that a worker needs, and writes it into the run's folder.
func (m *Manager) makeJob(ctx context.Context, t fettle.Training) (*Job, error) {
	recipe, err := FindRecipe(t.Preset)
	if err != nil {
		return nil, err
	}
	forecasters, err := m.forecasters(t.Forecaster)
	if err != nil {
		return nil, err
	}
	info, known := m.Rows.Info(t.Machine)
	if !known {
		return nil, fettle.Errorf(fettle.NotFound, "no machine %q", t.Machine)
	}
	f := forecasters[0]
	recipe = m.bounded(recipe.suit(f), t.On != "")
	history := past{store: m.Rows, machine: t.Machine, forecaster: f}
	history.from, history.to = rangeOf(info.First, info.Last, m.history(f))
	job := &Job{
		Version: wireVersion, ID: strconv.FormatUint(t.ID, 10), Machine: t.Machine, Forecaster: t.Forecaster, Seed: 1, Scaler: recipe.Scaler,
		Network: recipe.Network, Training: settingsOf(recipe.Options), Validation: validationShare, Test: testShare,
		Limits:     Limits{Threads: recipe.Options.Threads, Memory: m.cfg.Memory, Seconds: m.cfg.Budget.Seconds()},
		Checkpoint: filepath.Join(m.folder(t.ID), checkpointName), Quarantined: m.Quarantined(t.Machine, history.from, history.to),
	}
	if job.Champion, err = m.rivalOf(t.Machine, t.Forecaster); err != nil {
		return nil, err
	}
	return job, m.writeJob(ctx, job, history, info.Sensors[:min(len(info.Sensors), mostSensors)])
}

// rivalOf is the version that serves, with its files if the worker has to
// judge it.
func (m *Manager) rivalOf(machine, forecaster string) (*Champion, error) {
	champion, found := m.Models.Champion(machine, forecaster)
	if !found {
		return nil, nil
	}
	c := &Champion{Name: champion.Name, Family: champion.Family, Sensors: champion.Sensors}
	if champion.Family == model.Ridge {
		return c, nil
	}
	var err error
	if c.Files, err = readFiles(champion.Dir); err != nil {
		return nil, fmt.Errorf("read the champion %s: %w", champion.Name, err)
	}
	return c, nil
}

// writeJob packs the readings, checks what the run will take, and writes the
// job line. It is there whole or not at all.
func (m *Manager) writeJob(ctx context.Context, job *Job, history past, sensors []string) error {
	dir := filepath.Dir(job.Checkpoint)
	packed, err := os.Create(filepath.Join(dir, rowsFile))
	if err != nil {
		return fmt.Errorf("write the readings of the run: %w", err)
	}
	defer os.Remove(packed.Name()) // the run's folder goes later in any case
	defer packed.Close()
	defer debug.FreeOSMemory() // packing a month took some tens of MB
	if job.Data, err = packTalkative(ctx, packed, history, sensors); err != nil {
		return fmt.Errorf("write the readings of the run: %w", err)
	}
	job.Network.Channels = len(job.Data.Sensors)
	plan, err := PlanRun(Recipe{Network: job.Network, Options: job.options()}, job.Data.Rows, len(job.Data.Sensors))
	if err == nil {
		err = refuseMemory(plan, job.Limits.Memory)
	}
	if err == nil {
		err = job.check()
	}
	if err != nil {
		return err
	}
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the readings of the run: %w", err)
	}
	return writeFile(filepath.Join(dir, jobFile), func(w io.Writer) error { return writeJob(w, job, packed) })
}

// packTalkative packs a history's sensors, and once more without those that
// turn out to speak too seldom.
func packTalkative(ctx context.Context, file *os.File, history past, sensors []string) (Data, error) {
	for {
		data, spoken, err := pack(file, sensors, history.windows(ctx, sensors))
		if err != nil {
			return data, err
		}
		often := talkative(sensors, spoken, data.Rows)
		if len(often) == 0 {
			return data, fettle.Errorf(fettle.Unavailable, "%s has no sensor that spoke in half of its %d rows", history.machine, data.Rows)
		}
		if len(often) == len(sensors) {
			return data, nil
		}
		sensors = often
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return data, err
		}
		if err := file.Truncate(0); err != nil {
			return data, err
		}
	}
}

// writeFile writes a file that appears whole or not at all.
func writeFile(path string, fill func(io.Writer) error) error {
	draft, err := os.Create(path + ".draft")
	if err != nil {
		return fmt.Errorf("write the job: %w", err)
	}
	err = errors.Join(fill(draft), draft.Close())
	if err == nil {
		err = rename.To(draft.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the job: %w", err)
	}
	return nil
}
