package forecast

import (
	"math"
	"slices"
	"testing"
	"time"

	"fettle"

	"pgregory.net/rapid"
)

// drawKinds are forecasts as a machine makes them: of one kind mostly, each
// somewhat different from the one before.
func drawKinds(t *rapid.T) []kept {
	var list []kept
	at := rapid.Int64Range(0, 1<<52).Draw(t, "origin")
	for range rapid.IntRange(1, 3).Draw(t, "kinds") {
		first := drawKept(t)
		for range rapid.IntRange(1, 8).Draw(t, "forecasts") {
			at += rapid.Int64Range(1, 1<<36).Draw(t, "later")
			k := first
			k.origin, k.sensors = at, nil
			for _, s := range first.sensors {
				by := rapid.Float64Range(-1, 1).Draw(t, "by") * (1 + math.Abs(s.values[0]))
				moved := keptSensor{name: s.name, last: s.last}
				for h, v := range s.values {
					moved.values = append(moved.values, v+by)
					if len(s.lower) > 0 {
						moved.lower, moved.upper = append(moved.lower, s.lower[h]+by), append(moved.upper, s.upper[h]+1.1*by+math.Abs(by))
					}
				}
				k.sensors = append(k.sensors, moved)
			}
			list = append(list, k)
		}
	}
	return list
}

// What is unpacked differs from the forecasts one by one by the rounding, and a
// band holds its value as it did.
func TestPackedForecastsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawKinds(t)
		got, err := readPacked(appendPacked(nil, list))
		if err != nil || len(got) != len(list) {
			t.Fatalf("%d forecasts became %d: %v", len(list), len(got), err)
		}
		size := 0.0 // how large the numbers are
		for _, k := range list {
			for _, s := range k.sensors {
				for _, v := range slices.Concat(s.values, s.lower, s.upper) {
					size = max(size, math.Abs(v))
				}
			}
		}
		for i, k := range list {
			g := got[i]
			if g.model != k.model || g.origin != k.origin || g.step != k.step || g.steps != k.steps || len(g.sensors) != len(k.sensors) {
				t.Fatalf("%+v became %+v", k, g)
			}
			for j, s := range k.sensors {
				compare(t, s, g.sensors[j], size)
			}
		}
	})
}

func compare(t *rapid.T, s, got keptSensor, size float64) {
	if got.name != s.name || len(got.values) != len(s.values) || len(got.lower) != len(s.lower) || len(got.upper) != len(s.upper) {
		t.Fatalf("%+v became %+v", s, got)
	}
	half := 0.0 // of the band at its widest
	for h := range s.lower {
		half = max(half, (s.upper[h]-s.lower[h])/2)
	}
	most := half/packedUnits + 1e-9*size // numbers far from each other are kept to a part of what is between
	if len(s.lower) == 0 {
		most = size / 400
	}
	for h, v := range s.values {
		if off := math.Abs(v - got.values[h]); off > 0.51*most {
			t.Fatalf("step %d: %g became %g, half of the band is %g", h, v, got.values[h], half)
		}
		if len(s.lower) == 0 {
			continue
		}
		if below, above := math.Abs(s.lower[h]-got.lower[h]), math.Abs(s.upper[h]-got.upper[h]); below > 1.51*most || above > 1.51*most {
			t.Fatalf("step %d: the band from %g to %g became one from %g to %g", h, s.lower[h], s.upper[h], got.lower[h], got.upper[h])
		}
	}
}

// A usual hour takes less than a seventh of what it does one by one.
func TestPackedForecastsAreSmall(t *testing.T) {
	var hour []kept
	one := 0
	for i := range 60 {
		k := keepMade(usualForecast())
		k.origin += int64(i) * time.Minute.Microseconds()
		for _, s := range k.sensors {
			for h := range s.values { // a wave passes by
				by := math.Sin(float64(i) + float64(h)/3)
				s.values[h], s.lower[h], s.upper[h] = s.values[h]+by, s.lower[h]+by, s.upper[h]+by
			}
		}
		hour, one = append(hour, k), one+len(k.append(nil))
	}
	if size := len(appendPacked(nil, hour)); size > one/7 {
		t.Errorf("an hour takes %d bytes, %d one by one", size, one)
	}
}

// Once every step of an hour is scored its forecasts are packed, and Kept tells
// them as before, over a restart too.
func TestScoredForecastsArePacked(t *testing.T) {
	b := newBench(t)
	b.store(wave(3*60*30, 2*time.Second)) // three hours
	b.learn(origin.Add(10 * time.Minute))
	ticks := b.ticks(b.watermark())
	records := func(kind byte) (n int) {
		m, _, err := b.engine.find("press", "short")
		if err != nil {
			t.Fatal(err)
		}
		each := b.engine.eachKept
		if kind == kindPacked {
			each = b.engine.eachPacked
		}
		if err := each(m, 0, math.MaxInt64, func(kept) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 2 {
		if packed, waiting := records(kindPacked), records(kindKept); packed < 100 || waiting > 70 || packed+waiting != len(ticks) {
			t.Errorf("%d forecasts are packed and %d are not, of %d", packed, waiting, len(ticks))
		}
		for from := range 5 { // also from within an hour
			begin, n := ticks[from*30], 0
			if err := b.engine.Kept("press", "short", begin, ticks[len(ticks)-1], func(f fettle.Forecast) error {
				if want := ticks[from*30+n]; !f.Origin.Equal(want) || len(f.Sensors) != 2 || f.Coverage != coverage {
					t.Fatalf("forecast of %s is %+v", want, f)
				}
				n++
				return nil
			}); err != nil || n != len(ticks)-1-from*30 {
				t.Errorf("%d forecasts from %s, %v", n, begin, err)
			}
		}
		b.restart()
	}
}

// Whatever lies in the store, reading it gives forecasts or an error, and takes
// no more memory than there is.
func FuzzReadPacked(f *testing.F) {
	k := keepMade(usualForecast())
	f.Add(appendPacked(nil, []kept{k, k}))
	f.Add(appendPacked(nil, []kept{k})[:60])
	f.Add([]byte{packedLayout})
	f.Fuzz(func(t *testing.T, value []byte) {
		list, err := readPacked(value)
		if err != nil {
			return
		}
		for _, k := range list {
			for _, s := range k.sensors {
				if len(s.values) != k.steps || len(s.lower) != len(s.upper) || len(s.lower) != 0 && len(s.lower) != k.steps {
					t.Fatalf("%d steps with lists of %d, %d and %d", k.steps, len(s.values), len(s.lower), len(s.upper))
				}
			}
		}
	})
}
