package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/forecast"
	"fettle/internal/model"
	"fettle/internal/readings"
)

// A result is what came out.
type result struct {
	curves  []*curve
	changed bool
	beaten  []string // machine: by which yardstick
	drift   float64  // largest error of the last day as a multiple of that on held-out data, median hour
	engine  float64  // largest difference between the engine's count and this one's
}

// A curve is what one step of one sensor's forecasts did, oldest first.
type curve struct {
	inside    []bool
	residuals []float64
	widths    []float64
	changed   int // scores before the change
}

// live brings machines up to date as the program does, tick by tick.
func live(ctx context.Context, machines map[string][]fettle.Reading, changed bool) (result, error) {
	dir, err := os.MkdirTemp("", "fettle-bands")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	quiet := slog.New(slog.DiscardHandler)
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{Log: quiet})
	if err != nil {
		return result{}, err
	}
	defer d.Close()
	rows, err := readings.Open(d, dir, nil)
	if err != nil {
		return result{}, err
	}
	clock := time.Now()
	models, err := model.Open(filepath.Join(dir, "models"), func() time.Time { clock = clock.Add(time.Minute); return clock }, nil, quiet)
	if err != nil {
		return result{}, err
	}
	engine, err := forecast.New(forecast.Config{Forecasters: []forecast.Forecaster{}}, rows, models, d, quiet)
	if err != nil {
		return result{}, err
	}
	r := result{changed: changed}
	for _, name := range slices.Sorted(maps.Keys(machines)) {
		if err := r.liveOne(ctx, engine, rows, machines[name]); err != nil {
			return result{}, err
		}
	}
	return r, nil
}

func (r *result) liveOne(ctx context.Context, engine *forecast.Engine, store *readings.Store, rows []fettle.Reading) error {
	for block := range slices.Chunk(rows, 5000) {
		if _, err := store.Append(block); err != nil {
			return err
		}
	}
	machine, last, middle := rows[0].Machine, rows[len(rows)-1].Time, rows[len(rows)/2].Time
	truth := newTruth(rows)
	curves := map[string][]*curve{}
	none := func(string, time.Time, time.Time) []fettle.Interval { return nil }
	for {
		tick, due := engine.Due(machine, last)
		if !due {
			break
		}
		if _, err := engine.Learn(ctx, machine, tick, none); err != nil {
			return err
		}
		made, err := engine.Forecast(ctx, machine, tick)
		if fettle.KindOf(err) == fettle.Unavailable {
			continue
		} else if err != nil {
			return err
		}
		for _, s := range made.Sensors {
			truth.score(curves, made.Forecast, s, middle)
		}
	}
	covered, err := engine.Coverage(machine, fettle.ShortForecaster)
	if err != nil {
		return err
	}
	for _, s := range covered {
		for h, step := range s.Steps {
			of := curves[s.Sensor][h]
			if step.Coverage != nil && len(of.inside) > window {
				r.engine = max(r.engine, math.Abs(*step.Coverage-of.coverage(len(of.inside), window)))
			}
		}
	}
	accuracy, err := engine.Accuracy(machine, fettle.ShortForecaster, last.Add(-7*24*time.Hour), last.Add(time.Hour))
	if err != nil {
		return err
	}
	if d, known := engine.Drift(machine, fettle.ShortForecaster); known {
		r.drift = max(r.drift, d.Sensors[0].Ratio)
	}
	for _, s := range accuracy.Sensors {
		if s.BeatenBy != "" {
			r.beaten = append(r.beaten, s.Sensor+" of "+machine)
		}
	}
	for _, sensor := range slices.Sorted(maps.Keys(curves)) {
		r.curves = append(r.curves, curves[sensor]...)
	}
	return nil
}

// A truth is all readings of a machine.
type truth struct {
	times []time.Time
	rows  []fettle.Reading
}

func newTruth(rows []fettle.Reading) truth {
	t := truth{rows: rows}
	for _, r := range rows {
		t.times = append(t.times, r.Time)
	}
	return t
}

// score adds what became of one sensor's forecast.
func (t truth) score(curves map[string][]*curve, f fettle.Forecast, s fettle.SensorForecast, middle time.Time) {
	if len(s.Lower) == 0 {
		return
	}
	for len(curves[s.Sensor]) < len(s.Values) {
		curves[s.Sensor] = append(curves[s.Sensor], &curve{})
	}
	half := time.Duration(f.StepSeconds * float64(time.Second) / 2)
	for h := range s.Values {
		at := f.TimeOf(h)
		i := sort.Search(len(t.times), func(i int) bool { return !t.times[i].Before(at.Add(-half)) })
		if i == len(t.times) || t.times[i].After(at.Add(half)) {
			continue
		}
		v, _ := t.rows[i].Value(s.Sensor)
		c := curves[s.Sensor][h]
		c.inside = append(c.inside, s.Lower[h] <= v && v <= s.Upper[h])
		c.residuals = append(c.residuals, v-s.Values[h])
		c.widths = append(c.widths, s.Upper[h]-s.Lower[h])
		if at.Before(middle) {
			c.changed = len(c.inside)
		}
	}
}

// coverage is the share within of the n scores before `until`.
func (c *curve) coverage(until, n int) float64 {
	inside := 0
	for _, in := range c.inside[until-n : until] {
		if in {
			inside++
		}
	}
	return float64(inside) / float64(n)
}

func (c *curve) good(until int) bool {
	share := c.coverage(until, window)
	return share >= lowest && share <= highest
}

// bestWidth is that of the narrowest band that is always the same and would have
// held 90 % of these readings, known only afterwards.
func (c *curve) bestWidth() float64 {
	sorted := slices.Sorted(slices.Values(c.residuals))
	n := len(sorted) * 9 / 10
	best := math.Inf(1)
	for i := 0; i+n < len(sorted); i++ {
		best = min(best, sorted[i+n]-sorted[i])
	}
	return best
}

func (r result) print(out io.Writer, name string) {
	var counted, end, good, times, coverage, width, lived, recovered float64
	for _, c := range r.curves {
		n := len(c.inside)
		if n <= window {
			continue
		}
		counted++
		coverage += c.coverage(n, n)
		if c.good(n) {
			end++
		}
		for until := window; until <= n; until++ {
			times++
			if c.good(until) {
				good++
			}
		}
		mean, _ := moments(c.widths)
		width += mean / c.bestWidth()
		if until := c.changed + goalRecovered; r.changed && until >= window && until <= n {
			lived++
			if c.good(until) {
				recovered++
			}
		}
	}
	back := ""
	if lived > 0 {
		back = fmt.Sprintf("%.1f %%", 100*recovered/lived)
	}
	fmt.Fprintf(out, "%s\t%.0f\t%.1f %%\t%.1f %%\t%.1f %%\t%.2f\t%s\t%d\t%.2f\t\n", name, counted, 100*coverage/counted, 100*end/counted, 100*good/times, width/counted, back, len(r.beaten), r.drift)
	if r.engine > 0.01 {
		fmt.Fprintf(out, "the engine's own count differs by %.1f points\t\t\t\t\t\t\t\t\t\n", 100*r.engine)
	}
}
