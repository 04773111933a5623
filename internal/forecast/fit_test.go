package forecast

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fettle"
)

// Every window that the cutter hands over is whole, is handed over once, and
// none is forgotten.
func TestCutterFindsEveryWholeWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const width, step, widest = 4, 2 * time.Second, 5 * time.Second
		count := rapid.IntRange(0, 80).Draw(t, "rows")
		var rows []fettle.Reading
		good := [][]bool{nil, nil} // per sensor and row
		joined := []bool{}         // row follows the one before without a gap
		at := origin
		for range count {
			kind := rapid.SampledFrom([]string{"row", "row", "row", "row", "late", "gap", "no a", "no b", "NaN a", "cut"}).Draw(t, "kind")
			switch kind {
			case "late":
				at = at.Add(widest)
			case "gap":
				at = at.Add(widest + time.Microsecond)
			default:
				at = at.Add(step)
			}
			r := reading(at, map[string]float64{"a": float64(len(joined)), "b": float64(len(joined))})
			switch kind {
			case "no a":
				r.Values = r.Values[1:]
			case "no b":
				r.Values = r.Values[:1]
			case "NaN a":
				r.Values[0].Value = math.NaN()
			case "cut":
				r.Values = nil
				rows = append(rows, r)
				continue
			}
			broken := kind == "gap" || len(rows) > 0 && len(rows[len(rows)-1].Values) == 0
			rows = append(rows, r)
			joined = append(joined, !broken)
			good[0] = append(good[0], kind != "no a" && kind != "NaN a")
			good[1] = append(good[1], kind != "no b")
		}
		var got, want [2][]int
		c := &cutter{sensors: []string{"a", "b"}, width: width, step: step.Microseconds(),
			emit: func(sensor, first int, values []float64) {
				for i, v := range values {
					if v != float64(first+i) {
						t.Fatalf("sensor %d: row %d holds the value of row %g", sensor, first+i, v)
					}
				}
				for at := range len(values) - width + 1 {
					got[sensor] = append(got[sensor], first+at)
				}
			}}
		for _, r := range rows {
			c.add(r)
		}
		c.end()
		for sensor := range good {
			for at := 0; at+width <= len(joined); at++ {
				whole := !slices.Contains(good[sensor][at:at+width], false) && !slices.Contains(joined[at+1:at+width], false)
				if whole {
					want[sensor] = append(want[sensor], at)
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("windows start at rows\n%v, want\n%v", got, want)
		}
	})
}

// A long run is handed over in blocks, each window once.
func TestCutterHandsOverInBlocks(t *testing.T) {
	const width, rows = 60, 2*blockRows + 100
	next, blocks := 0, 0
	c := &cutter{sensors: []string{"a"}, width: width, step: 1, emit: func(_, first int, values []float64) {
		if first != next {
			t.Fatalf("block starts with window %d, want %d", first, next)
		}
		next += len(values) - width + 1
		blocks++
	}}
	for i := range rows {
		c.add(fettle.Reading{Time: time.UnixMicro(int64(i)), Values: []fettle.Value{{Sensor: "a", Value: float64(i)}}})
	}
	c.end()
	if next != rows-width+1 || blocks != 3 {
		t.Errorf("%d windows in %d blocks, want %d in 3", next, blocks, rows-width+1)
	}
}

func TestFitLearnsAWave(t *testing.T) {
	r := fitRows(t, machineRows(2000, map[string][]float64{"a": sine(2000, 23, 0.1), "b": scale(sine(2000, 23, 0.1), 500, -3000)}))
	if r.HeldOut.MSE > r.HeldOut.LastValue/10 {
		t.Errorf("mean squared error %g; the last value has %g", r.HeldOut.MSE, r.HeldOut.LastValue)
	}
	if r.HeldOut.Season != 23 && r.HeldOut.Season != 46 {
		t.Errorf("season of %d rows, want 23", r.HeldOut.Season)
	}
	if r.StepSeconds != 2 || r.FittedRows != 2000 || len(r.Sensors) != 2 || !r.Until.Equal(origin.Add(1999*2*time.Second)) {
		t.Errorf("step %g, %d rows until %s of %d sensors", r.StepSeconds, r.FittedRows, r.Until, len(r.Sensors))
	}
	// Noise of 0.1 in a, of 50 in b: 90 % of it within 1.64 deviations, and the
	// forecast is nearly as good as it can be.
	for i, deviation := range []float64{0.1, 50} {
		for h := range r.Horizon {
			half := (r.Sensors[i].Above[h] - r.Sensors[i].Below[h]) / 2
			if half < 1.4*deviation || half > 2.2*deviation {
				t.Errorf("sensor %s, step %d: half a band is %g, want about %g", r.Sensors[i].Name, h, half, 1.64*deviation)
			}
		}
	}
}

// The held-out error that the sums give is the one that the windows have.
func TestHeldOutErrorIsThatOfTheWindows(t *testing.T) {
	series := sine(400, 31, 0.3)
	rows := machineRows(400, map[string][]float64{"a": series})
	f := fitterOf(rows, "a")
	seen, err := f.survey()
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.sums(seen)
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := choosePenalty(s.fitted.centred(), s.heldOut.centred())
	if err != nil {
		t.Fatal(err)
	}
	z := seen.sensors[0].scaled(nil, series)
	var sum float64
	var count int
	for at := 320 - f.context; at+f.width() <= 400; at++ { // targets in the newest 80 rows
		for h, v := range extrapolate(chosen.weights, z[at:at+f.context]) {
			sum += (z[at+f.context+h] - v) * (z[at+f.context+h] - v)
			count++
		}
	}
	if want := sum / float64(count); math.Abs(chosen.heldOut-want) > 1e-9 {
		t.Errorf("held-out error %g, of the windows %g", chosen.heldOut, want)
	}
	if got := s.fitted.windows + s.border.windows + s.heldOut.windows; got != 400-f.width()+1 {
		t.Errorf("%d windows, want %d", got, 400-f.width()+1)
	}
	if s.fitted.windows != 320-f.width()+1 {
		t.Errorf("%d windows to fit to, want those within the oldest 320 rows", s.fitted.windows)
	}
}

func TestFitOfOddSensors(t *testing.T) {
	const rows = 600
	steps := make([]float64, rows)
	for i := range steps {
		if i%200 == 199 { // at rest nearly always: no inter-quartile range
			steps[i] = 40
		}
	}
	all := machineRows(rows, map[string][]float64{
		"broken": constant(rows, 1e300), "constant": constant(rows, 12.5), "steps": steps, "wave": sine(rows, 19, 0.1),
	})
	for i := range all {
		if i%20 == 0 { // never 60 rows in a row
			all[i].Values = append(all[i].Values, fettle.Value{Sensor: "zz sparse", Value: 1})
		}
		if i%100 == 3 {
			all[i].Values[0].Value = -1.7e308
		}
	}
	r := fitRows(t, all)
	for name, want := range map[string]float64{"constant": 1, "steps": 40} {
		if got := r.sensor(name); got == nil || got.Scale != want {
			t.Errorf("sensor %s: %+v, want scale %g", name, got, want)
		}
	}
	if r.sensor("zz sparse") != nil {
		t.Error("a sensor without a whole window is part of the fit")
	}
	for h, w := range r.Weights {
		if !finite(w) {
			t.Errorf("weights of step %d are not finite", h)
		}
	}
	if wave := r.sensor("wave"); wave == nil || len(wave.Above) != r.Horizon {
		t.Errorf("the wave has no band: %+v", wave)
	}
}

func TestFitSaysWhatIsMissing(t *testing.T) {
	gaps := machineRows(300, map[string][]float64{"a": sine(300, 9, 0)})
	for i := range gaps {
		gaps[i].Time = gaps[i].Time.Add(time.Duration(i/40) * time.Minute)
	}
	for _, c := range []struct {
		name string
		rows []fettle.Reading
		want NotEnough
	}{
		{"none", nil, NotEnough{Have: 0, Need: 120, What: "rows to fit from"}},
		{"119 rows", machineRows(119, map[string][]float64{"a": sine(119, 9, 0)}), NotEnough{Have: 119, Need: 120, What: "rows to fit from"}},
		{"a gap every 40 rows", gaps, NotEnough{Have: 40, Need: 60, What: "rows without a gap to fit from"}},
	} {
		_, err := fitterOf(c.rows, "a").fit()
		var missing *NotEnough
		if !errors.As(err, &missing) || *missing != c.want || fettle.KindOf(err) != fettle.Unavailable {
			t.Errorf("%s: %v, want %+v", c.name, err, c.want)
		}
	}
	if _, err := fitterOf(machineRows(120, map[string][]float64{"a": sine(120, 9, 0)}), "a").fit(); err != nil {
		t.Errorf("120 rows: %v", err)
	}
}

// Nothing is learnt from rows in quarantine: a fault there leaves no trace.
func TestLearnIgnoresQuarantine(t *testing.T) {
	healthy := machineRows(1000, map[string][]float64{"a": sine(1000, 29, 0.05)})
	faulty := slices.Clone(healthy)
	for i := 400; i <= 500; i++ {
		faulty[i] = reading(faulty[i].Time, map[string]float64{"a": 1e6 * float64(i%7)})
	}
	var fitted [2]*ridge
	for i, rows := range [][]fettle.Reading{healthy, faulty} {
		b := newBench(t)
		b.store(rows)
		b.learn(b.watermark(), fettle.Interval{From: rows[400].Time, To: rows[501].Time})
		champion, _ := b.models.Champion("press", "short")
		var err error
		if fitted[i], err = openRidge(champion.Dir); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(fitted[0], fitted[1]) {
		t.Error("the fault in quarantine changed the fit")
	}
	if n := fitted[0].FittedRows; n != 899 {
		t.Errorf("fitted to %d rows, want 899", n)
	}
}

var origin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func reading(at time.Time, values map[string]float64) fettle.Reading {
	r := fettle.Reading{Machine: "press", Time: at}
	for sensor, v := range values {
		r.Values = append(r.Values, fettle.Value{Sensor: sensor, Value: v})
	}
	r.Values = fettle.SortValues(r.Values)
	return r
}

// machineRows are readings every two seconds.
func machineRows(rows int, series map[string][]float64) []fettle.Reading {
	all := make([]fettle.Reading, rows)
	for i := range all {
		values := map[string]float64{}
		for sensor, v := range series {
			values[sensor] = v[i]
		}
		all[i] = reading(origin.Add(time.Duration(i)*2*time.Second), values)
	}
	return all
}

func fitterOf(rows []fettle.Reading, sensors ...string) fitter {
	return fitter{context: 50, horizon: 10, sensors: sensors, rows: func(from time.Time, yield func(fettle.Reading) error) error {
		for _, r := range rows {
			if r.Time.Before(from) {
				continue
			}
			if err := yield(r); err != nil {
				return err
			}
		}
		return nil
	}}
}

// fitRows fits to all sensors that any row has.
func fitRows(t *testing.T, rows []fettle.Reading) *ridge {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range rows {
		for _, v := range r.Values {
			seen[v.Sensor] = true
		}
	}
	var sensors []string
	for name := range seen {
		sensors = append(sensors, name)
	}
	slices.Sort(sensors)
	r, err := fitterOf(rows, sensors...).fit()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *ridge) sensor(name string) *ridgeSensor {
	for i := range r.Sensors {
		if r.Sensors[i].Name == name {
			return &r.Sensors[i]
		}
	}
	return nil
}

func scale(values []float64, by, offset float64) []float64 {
	scaled := make([]float64, len(values))
	for i, v := range values {
		scaled[i] = v*by + offset
	}
	return scaled
}

func constant(rows int, v float64) []float64 { return scale(make([]float64, rows), 1, v) }
