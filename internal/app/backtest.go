package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/db"
	"fettle/internal/events"
	"fettle/internal/forecast"
	"fettle/internal/model"
	"fettle/internal/readings"
)

// A Backtest asks how a machine would have been forecast and judged, had it been
// new at the beginning of a time that is over.
type Backtest struct {
	Machine    string
	From, To   time.Time       // of the readings lived through: [From, To)
	Forecaster string          // the only one beside the short one; "": all
	Train      bool            // PatchTSTs too, by schedule and by drift
	Past       *readings.Store // where the readings are
	Scratch    string          // an empty folder, for everything that is made
	Told       func(rows int, at time.Time)
}

const (
	// longestBacktest is how much time a backtest sums up at most.
	longestBacktest = 400 * 24 * time.Hour
	// liveBlock bounds the event time of the rows that are stored at once, and so
	// how far the clock is ahead of what happens.
	liveBlock = time.Hour
)

// Run lives a machine's history through the stages of a server, in a folder of
// its own. Rows are stored as their time comes, so that nothing can see one from
// later. Memory is that of a server with one machine.
func (b Backtest) Run(ctx context.Context, cfg config.Config, log *slog.Logger) (report BacktestReport, err error) {
	extent, err := b.survey(ctx)
	if err != nil {
		return report, err
	}
	if err := b.check(cfg, extent); err != nil {
		return report, err
	}
	l, err := b.open(cfg, extent.first, log)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	parts, working := errgroup.WithContext(ctx)
	working, stop := context.WithCancel(working)
	defer stop()
	if b.Train {
		parts.Go(func() error { return l.training.Run(working) })
	}
	parts.Go(func() error {
		defer stop()
		return l.live(working, extent)
	})
	if err := parts.Wait(); err != nil {
		return report, err
	}
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("backtest of %s broken off: %w", b.Machine, err)
	}
	return l.report(extent)
}

// An extent is what there is to live through.
type extent struct {
	rows        int64
	first, last time.Time
}

func (b Backtest) survey(ctx context.Context) (e extent, err error) {
	err = b.Past.Range(b.Machine, b.From, b.To, func(r fettle.Reading) error {
		if e.rows++; e.rows == 1 {
			e.first = r.Time
		}
		e.last = r.Time
		return ctx.Err()
	})
	return e, err
}

// check refuses what would come to nothing, before anything is done.
func (b Backtest) check(cfg config.Config, e extent) error {
	forecasters := (&App{cfg: cfg}).forecasters()
	var names []string
	for _, f := range forecasters {
		names = append(names, f.Name)
	}
	if b.Forecaster != "" && !slices.Contains(names, b.Forecaster) {
		return fettle.BadField("unknown forecaster", "forecaster", b.Forecaster, fmt.Sprintf("one of %q, as forecast.forecasters has them", names))
	}
	short := forecasters[0]
	need := int64(2 * (short.Context + short.Steps))
	switch {
	case e.rows == 0:
		return fettle.Errorf(fettle.NotFound, "%s has no readings in that time", b.Machine)
	case e.rows <= need:
		return fettle.Errorf(fettle.Unavailable, "%s has %d readings in that time; a backtest needs more than %d, from which its first forecast is learned", b.Machine, e.rows, need)
	case e.last.Sub(e.first) > longestBacktest:
		return fettle.BadField("too long a time", "from", e.first.UTC().Format(time.RFC3339), "at most 400 days before the last reading, "+e.last.UTC().Format(time.RFC3339))
	}
	return nil
}

// A life is a server without doors, whose clock is the time of its readings.
type life struct {
	ask Backtest
	*App
	clock   *eventClock
	rows    []fettle.Reading // that come next
	day     time.Time        // of the newest row
	seen    uint64           // number of the last event about a training that was waited for
	ridgeDB *db.DB
	ridge   *forecast.Engine // the ridge beside a machine that has something else; nil: it has nothing else
}

// An eventClock stands still until it is moved.
type eventClock struct{ micros atomic.Int64 }

func (c *eventClock) set(t time.Time) { c.micros.Store(t.UnixMicro()) }
func (c *eventClock) now() time.Time  { return time.UnixMicro(c.micros.Load()) }

func (b Backtest) open(cfg config.Config, begin time.Time, log *slog.Logger) (*life, error) {
	l := &life{ask: b, clock: &eventClock{}}
	l.clock.set(begin)
	cfg.Data.Dir = filepath.Join(b.Scratch, "life")
	if b.Forecaster != "" {
		others := func(f config.Forecaster) bool { return f.Name != b.Forecaster }
		cfg.Forecast.Forecasters = slices.DeleteFunc(slices.Clone(cfg.Forecast.Forecasters), others)
	}
	cfg.Training.Stagger = 0
	if !b.Train {
		cfg.Training.Schedule = ""
	}
	if err := os.MkdirAll(cfg.Data.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the backtest: %w", err)
	}
	limitMemory(cfg.Limits)
	store, err := db.Open(cfg.Data.Store(), db.Options{Log: log})
	if err != nil {
		return nil, err
	}
	l.App = &App{cfg: cfg, log: log, now: l.clock.now, lag: 2 * liveBlock, db: store}
	if err = l.openStages(); err == nil && b.Train {
		err = l.openRidge()
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	l.training.LookAtSchedule() // which begins now
	return l, nil
}

// openRidge makes the yardstick beside trained models: the same forecasters with
// nothing but the ridge that every machine has.
func (l *life) openRidge() (err error) {
	dir := filepath.Join(l.ask.Scratch, "ridge")
	if l.ridgeDB, err = db.Open(filepath.Join(dir, "db"), db.Options{Log: l.log}); err != nil {
		return err
	}
	models, err := model.Open(filepath.Join(dir, "models"), l.now, nil, l.log)
	if err != nil {
		return err
	}
	l.ridge, err = forecast.New(forecast.Config{Forecasters: l.forecasters(), Steps: l.steps(), Now: func() time.Time { return l.now().Add(l.lag) }}, l.flow.readings, models, l.ridgeDB, l.log)
	return err
}

func (l *life) close() error {
	err := l.db.Close()
	if l.ridgeDB != nil {
		err = errors.Join(err, l.ridgeDB.Close())
	}
	return err
}

// live lets time pass.
func (l *life) live(ctx context.Context, e extent) error {
	l.rows = make([]fettle.Reading, 0, block)
	err := l.ask.Past.Range(l.ask.Machine, e.first, e.last.Add(time.Microsecond), func(r fettle.Reading) error {
		if n := len(l.rows); n == block || n > 0 && r.Time.Sub(l.rows[0].Time) >= liveBlock {
			if err := l.pass(ctx); err != nil {
				return err
			}
		}
		l.rows = append(l.rows, r)
		return ctx.Err()
	})
	if err != nil || len(l.rows) == 0 {
		return err
	}
	return l.pass(ctx)
}

// pass stores the rows whose time has come, and does what is due by then.
func (l *life) pass(ctx context.Context) error {
	until := l.rows[len(l.rows)-1].Time
	if _, err := l.flow.readings.Append(l.rows); err != nil {
		return err
	}
	l.clock.set(until)
	if err := l.advance(ctx, until); err != nil {
		return err
	}
	if l.ask.Train {
		if err := l.train(ctx); err != nil {
			return err
		}
	}
	if day := until.UTC().Truncate(24 * time.Hour); !day.Equal(l.day) {
		l.day = day
		if _, err := l.flow.readings.SealAll(ctx); err != nil {
			return err
		}
	}
	l.ask.Told(len(l.rows), until)
	l.rows = l.rows[:0]
	return ctx.Err()
}

// advance judges and forecasts, and lets the ridge forecast beside.
func (l *life) advance(ctx context.Context, until time.Time) error {
	if err := l.flow.advance(ctx, l.ask.Machine, until); err != nil {
		return err
	}
	if l.ridge == nil {
		return nil
	}
	for {
		tick, due := l.ridge.Due(l.ask.Machine, until)
		if !due {
			return nil
		}
		if _, err := l.ridge.Learn(ctx, l.ask.Machine, tick, l.flow.judge.Quarantined); err != nil {
			return err
		}
		if _, err := l.ridge.Forecast(ctx, l.ask.Machine, tick); err != nil && fettle.KindOf(err) != fettle.Unavailable {
			return err
		}
	}
}

// train asks for what is due and waits for it: in a life, training takes no time.
func (l *life) train(ctx context.Context) error {
	l.training.LookAtSchedule()
	if l.cfg.Training.Drift != "off" {
		l.lookForDrift()
	}
	for ctx.Err() == nil {
		if waiting, running := l.training.Active(); waiting+running == 0 {
			return nil
		}
		told, err := l.flow.events.Wait(ctx, l.seen, events.Filter{Kinds: []fettle.EventKind{fettle.EventTraining}}, 0)
		if err != nil {
			return err
		}
		for _, e := range told {
			l.seen = max(l.seen, e.Number)
		}
	}
	return ctx.Err()
}
