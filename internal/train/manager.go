package train

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/forecast"
	"fettle/internal/model"
	"fettle/internal/readings"
)

// Config says how runs are run.
type Config struct {
	Dir      string        // a folder for each run under way, with its job and its checkpoint
	Parallel int           // runs at once
	Threads  int           // of a worker; 0: one for each processor
	Memory   int64         // that a worker may take, in bytes
	Budget   time.Duration // that a worker may train; 0: as long as its epochs take
	Windows  int           // that an epoch takes at most, other ones each time; 0: all
	History  time.Duration // of event time that a model learns from and is judged on
	Preset   string        // of runs that name none
	Schedule string        // cron, in local time; "": none
	Stagger  time.Duration // over which a schedule's machines are spread
	Margin   float64       // by which a new model has to be better, as a share of the error
	Shadow   time.Duration // of event time that it is forecast beside what serves, before it may; 0: none
	Attempts int           // starts of a worker, before a run has failed
	Engine   string        // where runs are done that do not say so: Here, or OnSpark
	Cluster  ClusterConfig

	Forecasters []forecast.Forecaster
}

// Deps are what a Manager works with.
type Deps struct {
	Rows        *readings.Store
	Models      *model.Folder
	DB          *db.DB
	Quarantined func(machine string, from, to time.Time) []fettle.Interval
	Runner      Runner                                                  // does jobs here
	Spark       Spark                                                   // gets at clusters that do jobs
	Trial       func(machine, forecaster string) (forecast.Trial, bool) // how a challenger does; nil: nobody knows
	Changed     func(fettle.Training)                                   // is told of every change; must not call back
	Now         func() time.Time                                        // wall clock
}

// A Runner does jobs somewhere: in child processes, or on a cluster.
type Runner interface {
	// Run does the job whose line is in a file, and returns the result line. It
	// ends when ctx does, having ended the worker too.
	Run(ctx context.Context, job string, told func(Progress)) ([]byte, error)
}

// A Manager keeps the queue of training runs and works it off: it makes a job of
// a machine's readings, has a worker train, and promotes the model that came of
// it if it is better than what serves. Whatever fails on the way, the champion
// serves on, and the run's record says what happened. All methods may be called
// from any goroutine.
type Manager struct {
	cfg Config
	Deps
	db      *db.DB
	log     *slog.Logger
	cluster *cluster
	lanes   []*lane
	packing chan struct{} // a place for each job that may be made at once

	looking sync.Mutex // at the schedule

	mu     sync.Mutex // guards what follows
	runs   map[uint64]*fettle.Training
	active map[uint64]*active // runs that a goroutine works on
	told   map[uint64]float64 // share of each active run at its last event
	last   uint64             // the newest id
	gone   map[string]absence // clusters that cannot be reached
}

// An active run can be stopped once it has a cancel.
type active struct {
	cancel context.CancelCauseFunc
	cause  error // why it is to stop, if that was before

	counted bool // as a start of its worker
}

// A lane is a kind of place where runs are done, beside the others.
type lane struct {
	elsewhere bool
	width     int           // runs at once
	wake      chan struct{} // something may be ready to start
}

func newLane(elsewhere bool, width int) *lane {
	return &lane{elsewhere, max(1, width), make(chan struct{}, 1)}
}

// packedAtOnce bounds the memory that making jobs takes: some tens of MB each.
const packedAtOnce = 2

// New reads the queue, and starts nothing.
func New(cfg Config, deps Deps, log *slog.Logger) (*Manager, error) {
	if err := checkSchedule(cfg.Schedule); err != nil {
		return nil, err
	}
	if _, err := FindRecipe(cfg.Preset); err != nil {
		return nil, fmt.Errorf("training.preset: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of training runs: %w", err)
	}
	runs, err := loadRuns(deps.DB)
	if err != nil {
		return nil, err
	}
	m := &Manager{
		cfg: cfg, Deps: deps, db: deps.DB, log: log, packing: make(chan struct{}, packedAtOnce),
		lanes: []*lane{newLane(false, cfg.Parallel), newLane(true, cfg.Cluster.Parallel)},
		runs:  runs, active: map[uint64]*active{}, told: map[uint64]float64{}, gone: map[string]absence{},
	}
	m.cluster = newCluster(cfg.Cluster, deps.Spark, log)
	for id := range runs {
		m.last = max(m.last, id)
	}
	m.sweep()
	m.catchUp()
	return m, nil
}

// sweep deletes the folders of runs that are over or unknown.
func (m *Manager) sweep() {
	entries, err := os.ReadDir(m.cfg.Dir)
	if err != nil {
		m.log.Warn("cannot look for what earlier training runs left", "err", err)
		return
	}
	for _, entry := range entries {
		id, err := strconv.ParseUint(entry.Name(), 10, 64)
		switch t, known := m.runs[id]; {
		case err != nil:
		case !known || t.State.Over():
			m.discard(id)
		case t.On != "":
			m.cluster.desk.restore(id, m.folder(id))
		}
	}
}

func (m *Manager) folder(id uint64) string {
	return filepath.Join(m.cfg.Dir, strconv.FormatUint(id, 10))
}

// discard deletes what a run kept on the disk while it was under way.
func (m *Manager) discard(id uint64) {
	m.cluster.desk.forget(id)
	if err := os.RemoveAll(m.folder(id)); err != nil {
		m.log.Warn("cannot delete the folder of a training run", "run", id, "err", err)
	}
}

// Run works off the queue until the context ends. Runs that are then under way
// go on after the next start, from where they were.
func (m *Manager) Run(ctx context.Context) error {
	var parts errgroup.Group
	for _, l := range m.lanes {
		for range l.width {
			parts.Go(func() error {
				m.workOff(ctx, l)
				return nil
			})
		}
	}
	parts.Go(func() error {
		m.keepSchedule(ctx)
		return nil
	})
	return parts.Wait()
}

// lookAgain is the longest that a run waits for its time without a look at the
// clock, which may have been set.
const lookAgain = time.Minute

// workOff carries out one run of a lane after the other.
func (m *Manager) workOff(ctx context.Context, l *lane) {
	for ctx.Err() == nil {
		t, ready, next := m.take(m.Now(), l.elsewhere)
		if ready {
			m.stir() // several may have come at once
			m.carry(ctx, t)
			m.stir() // another goroutine may have missed what came meanwhile
			continue
		}
		pause := lookAgain
		if !next.IsZero() {
			pause = min(pause, max(next.Sub(m.Now()), time.Millisecond))
		}
		l.rest(ctx, pause)
	}
}

// rest waits until something happens, or for a while.
func (l *lane) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.wake:
	}
}

// stir lets a goroutine of each lane look at the queue.
func (m *Manager) stir() {
	for _, l := range m.lanes {
		select {
		case l.wake <- struct{}{}:
		default: // one will look anyway
		}
	}
}

func (m *Manager) changed(t fettle.Training) {
	if m.Changed != nil {
		m.Changed(t)
	}
}
