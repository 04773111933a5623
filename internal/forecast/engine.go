package forecast

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/model"
	"fettle/internal/readings"
)

// Limits of what a machine is forecast from.
const (
	// maxSensors is how many sensors of a machine its ridge covers: the first
	// ones by name. Those beyond are stored and judged, but not forecast.
	maxSensors = 256
	// maxContext bounds a ridge's look-back and horizon, in rows.
	maxContext = 4096
	// maxStep is the longest time between two rows that counts as a rhythm.
	maxStep = 31 * 24 * time.Hour
)

// Config sets an Engine up. The zero value is the old system's rhythm.
type Config struct {
	Interval time.Duration    // event time from tick to tick; 0: 60 s
	Lookback time.Duration    // how old the oldest row of a look-back may be; 0: 10 min
	Rows     int              // a ridge's look-back; 0: 50
	Steps    int              // a ridge's horizon; 0: 10
	Now      func() time.Time // tells live ticks from old ones; nil: time.Now
}

func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, 60*time.Second)
	c.Lookback = cmp.Or(c.Lookback, 10*time.Minute)
	c.Rows = cmp.Or(c.Rows, 50)
	c.Steps = cmp.Or(c.Steps, 10)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) check() error {
	switch {
	case c.Interval < time.Second:
		return fettle.BadField("bad setting", "forecast.interval", c.Interval.String(), "at least 1s")
	case c.Lookback < 0:
		return fettle.BadField("bad setting", "forecast.lookback", c.Lookback.String(), "a positive duration")
	case c.Rows < 2 || c.Rows > maxContext:
		return fettle.BadField("bad setting", "forecast rows", fmt.Sprint(c.Rows), fmt.Sprintf("2..%d", maxContext))
	case c.Steps < 1 || c.Steps > maxContext:
		return fettle.BadField("bad setting", "forecast steps", fmt.Sprint(c.Steps), fmt.Sprintf("1..%d", maxContext))
	}
	return nil
}

// An Engine forecasts all machines. Due, Learn and Forecast are for whoever
// brings machines up to date: any number of machines at the same time, but one
// machine by one goroutine at a time. All other methods may be called by
// anybody at any time.
type Engine struct {
	cfg    Config
	rows   *readings.Store
	models *model.Folder
	db     *db.DB
	log    *slog.Logger
	counts counts

	mu       sync.Mutex
	memories map[string]*memory // of every machine that was asked for and is stored
}

// New makes an Engine over stored readings and a folder of models. What it made
// before a restart is read back from the store as it is asked for.
func New(cfg Config, rows *readings.Store, models *model.Folder, d *db.DB, log *slog.Logger) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Engine{cfg: cfg, rows: rows, models: models, db: d, log: log, memories: map[string]*memory{}}, nil
}

// Made is a forecast with what it was made from.
type Made struct {
	fettle.Forecast
	Window fettle.Window `json:"window"` // the look-back, of the forecast's sensors
	Scale  []fettle.Span `json:"scale"`  // (sensors) what the model was fitted on: 0..1 of the old rule
}

// Forecast looks ahead from a time, seeing no row after it, and consumes the
// tick at that time. The tick is consumed as well if there is a reason why
// nothing can be forecast: kind Unavailable and one of this package's reasons,
// with a NotEnough inside if there are too few rows. After any other error (the
// store cannot be read, ctx ended) it is still due.
func (e *Engine) Forecast(ctx context.Context, machine string, at time.Time) (Made, error) {
	if err := ctx.Err(); err != nil {
		return Made{}, err
	}
	info, found := e.rows.Info(machine)
	if !found {
		return Made{}, unknownMachine(machine)
	}
	m := e.memory(machine)
	made, err := e.make(m, info, at)
	if err != nil && !reasoned(err) {
		return Made{}, fmt.Errorf("forecast %s: %w", machine, err)
	}
	if err != nil {
		e.counts.failed.Add(1)
	} else {
		e.counts.made.Add(1)
	}
	e.consume(m, at, made, err)
	return made, err
}

func (e *Engine) make(m *memory, info readings.Info, at time.Time) (Made, error) {
	f, err := e.champion(m, info)
	if err != nil {
		return Made{}, err
	}
	look, err := e.lookBack(m.machine, f, lookRequest{until: at, rows: f.model.Context, reach: e.cfg.Lookback})
	if err != nil {
		return Made{}, err
	}
	m.keepStep(look.rhythm)
	made := Made{
		Forecast: fettle.Forecast{
			Machine: m.machine, Forecaster: fettle.ShortForecaster, Model: f.model.Name,
			Origin: look.newest(), StepSeconds: look.step.Seconds(),
		},
		Window: fettle.Window{Machine: m.machine, TimesMicros: look.window.TimesMicros},
	}
	bands := f.bandsNow()
	for i, values := range f.predict(look.window.Columns) {
		if !finite(values) {
			continue // readings near the largest number there is
		}
		sensor := fettle.SensorForecast{Sensor: look.window.Sensors[i], Values: values}
		if len(bands) > 0 && bands[look.kept[i]].around(&sensor) {
			made.Coverage = coverage
		}
		made.Sensors = append(made.Sensors, sensor)
		made.Window.Sensors = append(made.Window.Sensors, sensor.Sensor)
		made.Window.Columns = append(made.Window.Columns, look.window.Columns[i])
		made.Scale = append(made.Scale, f.scale[look.kept[i]])
	}
	if len(made.Sensors) == 0 {
		return Made{}, &fettle.Error{Kind: fettle.Unavailable, Reason: ReasonModel, Err: fmt.Errorf("model %s gives no finite number", f.model.Name)}
	}
	return made, nil
}

// Latest returns a machine's newest forecast, also one from before a restart.
// It shares memory with the Engine: read only.
func (e *Engine) Latest(machine string) (Made, bool) {
	if _, found := e.rows.Info(machine); !found {
		return Made{}, false
	}
	m := e.memory(machine)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Made == nil {
		return Made{}, false
	}
	return *m.Made, true
}

// Fresh looks ahead from a machine's newest row, for somebody who watches: a
// tick comes once a minute, while the deployed horizon looks 20 seconds ahead.
// It consumes no tick, is not counted and not kept. Asked again about the same
// row it answers from memory.
func (e *Engine) Fresh(ctx context.Context, machine string) (Made, error) {
	info, found := e.rows.Info(machine)
	if !found {
		return Made{}, unknownMachine(machine)
	}
	if latest, found := e.Latest(machine); found && !latest.Origin.Before(info.Last) {
		return latest, nil
	}
	m := e.memory(machine)
	m.watching.Lock()
	defer m.watching.Unlock()
	if m.fresh.Origin.Equal(info.Last) {
		return m.fresh, nil
	}
	if err := ctx.Err(); err != nil {
		return Made{}, err
	}
	made, err := e.make(m, info, info.Last)
	if err != nil {
		return Made{}, fmt.Errorf("forecast %s: %w", machine, err)
	}
	m.fresh = made
	return made, nil
}

// Explain says why a machine has no forecast, by the error's Reason: it is
// unknown (NotFound), has not enough rows (a NotEnough inside), cannot use its
// model, or is yet to be forecast at its next tick. It is nil if there is one.
func (e *Engine) Explain(machine string) error {
	info, found := e.rows.Info(machine)
	if !found {
		return unknownMachine(machine)
	}
	m := e.memory(machine)
	_, modelled := e.models.Champion(machine)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.Made != nil:
		return nil
	case !modelled:
		return e.noModel(m, info.Rows)
	case m.trouble != nil && !forWantOfModel(m.trouble): // that is over: there is one now
		return m.trouble
	case info.Rows < int64(e.cfg.Rows):
		return notEnough(NotEnough{Have: int(info.Rows), Need: e.cfg.Rows, What: "rows"})
	case m.Ticked.IsZero():
		return pending(errors.New("the first forecast is not due yet"))
	default:
		return pending(fmt.Errorf("the first forecast is due with the readings of %s", e.next(m).Format(time.RFC3339)))
	}
}

// Stats counts what the Engine did since it was made.
type Stats struct {
	Made    int64 // forecasts
	Failed  int64 // ticks that were due and gave none
	Skipped int64 // live ticks left out because newer ones were due already
	Fits    int64 // ridges fitted and published
}

type counts struct{ made, failed, skipped, fits atomic.Int64 }

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	c := &e.counts
	return Stats{Made: c.made.Load(), Failed: c.failed.Load(), Skipped: c.skipped.Load(), Fits: c.fits.Load()}
}
