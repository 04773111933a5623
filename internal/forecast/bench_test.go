package forecast

import (
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/model"
	"fettle/internal/readings"
)

// A fleet is machines with readings and with a ridge for each forecaster, which
// says what a sensor said last.
type fleet struct {
	*testing.B
	rows   *readings.Store
	models *model.Folder
	engine *Engine
}

func newFleet(b *testing.B) *fleet {
	b.Helper()
	dir, log := b.TempDir(), slog.New(slog.DiscardHandler)
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{Log: log})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	f := &fleet{B: b}
	if f.rows, err = readings.Open(d, dir, log); err != nil {
		b.Fatal(err)
	}
	if f.models, err = model.Open(filepath.Join(dir, "models"), func() time.Time { return origin }, nil, log); err != nil {
		b.Fatal(err)
	}
	if f.engine, err = New(Config{Now: func() time.Time { return origin.AddDate(1, 0, 0) }}, f.rows, f.models, d, log); err != nil {
		b.Fatal(err)
	}
	return f
}

var fleetSensors = []string{"accX", "accY", "accZ", "current", "tempA", "tempB"}

// live gives a machine a row every step.
func (f *fleet) live(machine string, step time.Duration, rows int, from time.Time) {
	f.Helper()
	block := make([]fettle.Reading, 0, 10_000)
	for i := range rows {
		r := fettle.Reading{Machine: machine, Time: from.Add(time.Duration(i) * step)}
		for s, name := range fleetSensors {
			r.Values = append(r.Values, fettle.Value{Sensor: name, Value: 20 + math.Sin(float64(i*(s+1))/50)})
		}
		if block = append(block, r); len(block) == cap(block) || i == rows-1 {
			if _, err := f.rows.Append(block); err != nil {
				f.Fatal(err)
			}
			block = block[:0]
		}
	}
}

func (f *fleet) publish(machine string, step time.Duration) {
	f.Helper()
	for _, plan := range Defaults() {
		r := &ridge{Format: ridgeFormat, Context: plan.Context, Horizon: plan.Steps, StepSeconds: max(step, plan.Step).Seconds(), From: origin, Until: origin}
		for range plan.Steps {
			row := make([]float64, plan.Context)
			for i := range row {
				row[i] = math.Pi / float64(i+1) // as many digits as a fit has
			}
			r.Weights = append(r.Weights, row)
		}
		for _, name := range fleetSensors {
			edges := scale(make([]float64, plan.Steps), 1, math.Pi)
			r.Sensors = append(r.Sensors, ridgeSensor{Name: name, Scale: 1, Span: fettle.Span{High: 1}, band: band{Below: edges, Above: edges}})
		}
		if _, err := f.models.Publish(model.Publication{
			Machine: machine, Forecaster: plan.Name, Family: model.Ridge, Sensors: fleetSensors,
			Context: plan.Context, Horizon: plan.Steps, StepSeconds: r.StepSeconds,
		}, r.save); err != nil {
			f.Fatal(err)
		}
	}
}

// BenchmarkForecast makes one forecast of a machine of six sensors that sends
// every two seconds, as it falls due: with the day half over, which is not
// sealed yet. The model is at hand, or (cold) to be loaded.
func BenchmarkForecast(b *testing.B) {
	f := newFleet(b)
	f.live("press", 2*time.Second, 8*43_200-21_600, origin)
	if _, err := f.rows.SealAll(b.Context()); err != nil {
		b.Fatal(err)
	}
	f.publish("press", 2*time.Second)
	info, _ := f.rows.Info("press")
	for _, plan := range Defaults() {
		for _, cold := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/cold=%t", plan.Name, cold), func(b *testing.B) {
				tick := Tick{plan.Name, info.Last.Truncate(time.Hour)}
				m, _, err := f.engine.find("press", plan.Name)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.engine.refreshRhythm(b.Context(), m, info, tick.At, true); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if cold {
						m.forgetModels()
					}
					if _, err := f.engine.Forecast(b.Context(), "press", tick); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("due", func(b *testing.B) { // nothing is: what each visit of a machine costs
		b.ReportAllocs()
		for b.Loop() {
			if _, due := f.engine.Due("press", info.Last.Truncate(time.Hour)); due {
				b.Fatal("a tick is due")
			}
		}
	})
}

// BenchmarkMemory reports what the Engine holds for each machine of six sensors
// with three forecasts and three models, and what the models are of it.
func BenchmarkMemory(b *testing.B) {
	const machines, step, rows = 20, time.Minute, 180
	for b.Loop() {
		f := newFleet(b)
		for i := range machines {
			f.live(fmt.Sprint("m", i), time.Hour, 8*24, origin)
			f.live(fmt.Sprint("m", i), step, rows, origin.Add(8*24*time.Hour))
			f.publish(fmt.Sprint("m", i), step)
		}
		before := heap()
		for i := range machines {
			for _, plan := range Defaults() {
				if _, err := f.engine.Forecast(b.Context(), fmt.Sprint("m", i), Tick{plan.Name, origin.Add(8*24*time.Hour + rows*step)}); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(heap()-before)/machines, "B/machine")
		b.ReportMetric(float64(f.engine.shelf.used)/machines, "B/machine-models")
		runtime.KeepAlive(f)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
