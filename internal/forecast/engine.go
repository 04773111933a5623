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

// Config sets an Engine up. The zero value is the default forecasters.
type Config struct {
	// Forecasters that every machine has; nil: Defaults. The short one is there
	// in any case, and what it leaves empty is the old system's.
	Forecasters []Forecaster
	Steps       map[string]time.Duration // a machine's own step, where it is not to be found
	ModelBytes  int64                    // what loaded models may take of the memory; 0: 64 MiB
	Now         func() time.Time         // tells live ticks from old ones; nil: time.Now
}

func (c Config) withDefaults() Config {
	if c.Forecasters == nil {
		c.Forecasters = Defaults()
	}
	c.Forecasters = withShort(c.Forecasters)
	c.ModelBytes = cmp.Or(c.ModelBytes, 64<<20)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
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
	shelf  *shelf
	pace   atomic.Pointer[pace] // of the short forecaster

	mu       sync.Mutex
	memories map[string][]*memory // of every machine that was asked for and is stored, in the order of cfg.Forecasters
}

// New makes an Engine over stored readings and a folder of models. What it made
// before a restart is read back from the store as it is asked for.
func New(cfg Config, rows *readings.Store, models *model.Folder, d *db.DB, log *slog.Logger) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := checkForecasters(cfg.Forecasters); err != nil {
		return nil, err
	}
	for machine, step := range cfg.Steps {
		if step < time.Millisecond || step > maxStep {
			return nil, fettle.BadField("bad step", fettle.Shorten(machine), step.String(), fmt.Sprintf("1ms to %s", maxStep))
		}
	}
	e := &Engine{cfg: cfg, rows: rows, models: models, db: d, log: log, shelf: newShelf(cfg.ModelBytes), memories: map[string][]*memory{}}
	e.SetPace(cfg.Forecasters[0].Interval, cfg.Forecasters[0].Lookback)
	return e, nil
}

// A pace is what may change of the short forecaster while the Engine works.
type pace struct{ interval, lookback time.Duration }

// SetPace changes how often short forecasts are made and how far they look
// back, from the next tick on. Both are above zero.
func (e *Engine) SetPace(interval, lookback time.Duration) { e.pace.Store(&pace{interval, lookback}) }

func (m *memory) interval() time.Duration {
	if m.pace != nil {
		return m.pace.Load().interval
	}
	return m.plan.Interval
}

func (m *memory) lookback() time.Duration {
	if m.pace != nil {
		return m.pace.Load().lookback
	}
	return m.plan.Lookback
}

// Made is a forecast with what it was made from.
type Made struct {
	fettle.Forecast
	Window fettle.Window `json:"window"`           // the look-back, of the forecast's sensors; not kept of forecasters with steps of their own
	Scale  []fettle.Span `json:"scale"`            // (sensors) what the model was fitted on: 0..1 of the old rule
	Season int           `json:"season,omitempty"` // rows after which the machine repeats itself best, for the yardstick; 0 if not known
}

// Forecast looks ahead from a tick's time, seeing no row after it, and consumes
// the tick. The tick is consumed as well if there is a reason why nothing can be
// forecast: kind Unavailable and one of this package's reasons, with a NotEnough
// inside if there are too few rows. After any other error (the store cannot be
// read, ctx ended) it is still due.
func (e *Engine) Forecast(ctx context.Context, machine string, tick Tick) (Made, error) {
	if err := ctx.Err(); err != nil {
		return Made{}, err
	}
	m, info, err := e.find(machine, tick.Forecaster)
	if err != nil {
		return Made{}, err
	}
	if err := e.score(ctx, m, tick.At); err != nil {
		return Made{}, fmt.Errorf("score forecasts of %s: %w", machine, err)
	}
	made, err := e.make(ctx, m, info, tick.At)
	if err != nil && !reasoned(err) {
		return Made{}, fmt.Errorf("forecast %s: %w", machine, err)
	}
	var keep, shadow kept
	if err != nil {
		e.counts.failed.Add(1)
	} else {
		e.counts.made.Add(1)
		keep = keepMade(made)
		shadow = e.shadow(ctx, m, info, tick.At, keep)
	}
	e.consume(m, tick.At, made, keep, shadow, err)
	return made, err
}

// find returns what is known of a machine's forecaster.
func (e *Engine) find(machine, forecaster string) (*memory, readings.Info, error) {
	info, found := e.rows.Info(machine)
	if !found {
		return nil, info, unknownMachine(machine)
	}
	for _, m := range e.memoriesOf(machine) {
		if m.plan.Name == forecaster {
			return m, info, nil
		}
	}
	return nil, info, unknownForecaster(forecaster)
}

func (e *Engine) make(ctx context.Context, m *memory, info readings.Info, at time.Time) (Made, error) {
	f, err := e.champion(m, info)
	if err != nil {
		return Made{}, err
	}
	look, err := e.lookBack(ctx, m, f, lookRequest{info: info, until: at, rows: f.model.Context, reach: m.lookback()})
	if err != nil {
		return Made{}, err
	}
	m.keepStep(look.rhythm)
	made := Made{
		Forecast: fettle.Forecast{
			Machine: m.machine, Forecaster: m.plan.Name, Model: f.model.Name,
			Origin: look.newest(), StepSeconds: look.step.Seconds(),
		},
		Window: fettle.Window{Machine: m.machine, TimesMicros: look.window.TimesMicros},
		Season: f.season,
	}
	bands := m.book.bands(f)
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

// Latest returns a forecaster's newest forecast of a machine, also one from
// before a restart. It shares memory with the Engine: read only.
func (e *Engine) Latest(machine, forecaster string) (Made, bool) {
	m, _, err := e.find(machine, forecaster)
	if err != nil {
		return Made{}, false
	}
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
func (e *Engine) Fresh(ctx context.Context, machine, forecaster string) (Made, error) {
	m, info, err := e.find(machine, forecaster)
	if err != nil {
		return Made{}, err
	}
	newest := m.plan.newest(info.Last)
	if latest, found := e.Latest(machine, forecaster); found && !latest.Origin.Before(newest) {
		return latest, nil
	}
	m.watching.Lock()
	defer m.watching.Unlock()
	if m.fresh.Origin.Equal(newest) {
		return m.fresh, nil
	}
	if err := ctx.Err(); err != nil {
		return Made{}, err
	}
	made, err := e.make(ctx, m, info, info.Last)
	if err != nil {
		return Made{}, fmt.Errorf("forecast %s: %w", machine, err)
	}
	m.fresh = made
	return made, nil
}

// Explain says why a forecaster has no forecast of a machine, by the error's
// Reason: the machine is unknown (NotFound), has not enough rows (a NotEnough
// inside), cannot use its model, or is yet to be forecast at its next tick. It
// is nil if there is one.
func (e *Engine) Explain(machine, forecaster string) error {
	m, info, err := e.find(machine, forecaster)
	if err != nil {
		return err
	}
	_, modelled := e.models.Champion(machine, forecaster)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch rows := m.plan.rowsUntil(info, info.Last); {
	case m.Made != nil:
		return nil
	case !modelled:
		return e.noModel(m, info, rows)
	case m.trouble != nil && !forWantOfModel(m.trouble): // that is over: there is one now
		return m.trouble
	case rows < int64(m.plan.Context):
		return notEnough(NotEnough{Have: int(rows), Need: m.plan.Context, What: m.plan.rowsWord()})
	case m.Ticked.IsZero():
		return pending(errors.New("the first forecast is not due yet"))
	default:
		return pending(fmt.Errorf("the first forecast is due with the readings of %s", m.next().Format(time.RFC3339)))
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
