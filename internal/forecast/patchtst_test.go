package forecast

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/model"
)

// A PatchTST gets its sensors in its own order, scaled and clipped, and answers
// in their units.
func TestPatchTSTForecast(t *testing.T) {
	b := newBench(t)
	rows := machineRows(60, map[string][]float64{"a": ramp(60, 0, 1), "b": ramp(60, 100, -1), "other": ramp(60, 5, 0)})
	b.store(rows)
	version := b.publishPatchTST(0, 50, "b", "a")
	made := b.forecast(rows[58].Time)
	if made.Model != version.Name || made.StepSeconds != 2 || made.Coverage != 0 || made.Window.Rows() != 6 {
		t.Errorf("%+v of %d rows", made.Forecast, made.Window.Rows())
	}
	for i, want := range []struct {
		sensor string
		value  float64
	}{{"b", 42}, {"a", 50}} { // it says the last values, 42 and 58, within 0..50
		s := made.Sensors[i]
		if s.Sensor != want.sensor || len(s.Values) != 2 || math.Abs(s.Values[0]-want.value) > 1e-5 || math.Abs(s.Values[1]-want.value) > 1e-5 {
			t.Errorf("%+v, want %s at %g", s, want.sensor, want.value)
		}
		if made.Scale[i] != (fettle.Span{Low: 0, High: 50}) {
			t.Errorf("scale %+v", made.Scale[i])
		}
	}
}

func TestPatchTSTWithTooLittle(t *testing.T) {
	for _, c := range []struct {
		name   string
		rows   int
		silent int // newest rows in which b says nothing
		want   NotEnough
	}{
		{"five rows", 5, 0, NotEnough{Have: 5, Need: 6, What: "rows in the look-back of 10m0s", lookBack: true}},
		{"a silent sensor", 60, 6, NotEnough{Have: 0, Need: 6, What: "rows in the look-back", Sensor: "b", lookBack: true}},
	} {
		b := newBench(t)
		rows := machineRows(c.rows, map[string][]float64{"a": ramp(c.rows, 0, 1), "b": ramp(c.rows, 0, 1)})
		for i := c.rows - c.silent; i < c.rows; i++ {
			rows[i].Values = rows[i].Values[:1]
		}
		b.store(rows)
		b.publishPatchTST(0, 50, "a", "b")
		_, err := b.engine.Forecast(t.Context(), "press", Tick{"short", b.watermark()})
		if short := missing(err); short == nil || *short != c.want {
			t.Errorf("%s: %v, want %+v", c.name, err, c.want)
		}
	}
}

// A PatchTST whose sensors the machine has not is refused with words, and the
// machine's ridge goes on serving.
func TestPatchTSTOfOtherSensors(t *testing.T) {
	b := newBench(t)
	b.store(wave(100, 2*time.Second))
	version := b.publishPatchTST(0, 50, "load", "torque")
	_, err := b.engine.Forecast(t.Context(), "press", Tick{"short", b.watermark()})
	if fettle.KindOf(err) != fettle.Unavailable || !strings.Contains(err.Error(), version.Name) || !strings.Contains(err.Error(), `no sensor "torque"`) {
		t.Errorf("%v, want an error that names the model and the sensor", err)
	}
	b.store(wave(200, 2*time.Second))
	if !b.learn(b.watermark()) {
		t.Fatal("no ridge was fitted")
	}
	made := b.forecast(b.watermark())
	if ridge, _ := b.engine.newestRidge(b.engine.memoriesOf("press")[0]); made.Model != ridge.Name {
		t.Errorf("made by %s, want the ridge %s", made.Model, ridge.Name)
	}
	if b.learn(b.watermark()) {
		t.Error("fitted twice to the same rows")
	}
}

// Versions that serve no more are dropped from memory.
func TestModelsAreDroppedWithTheirVersion(t *testing.T) {
	b := newBench(t)
	b.store(wave(300, 2*time.Second))
	b.learn(b.watermark())
	b.forecast(b.watermark())
	version := b.publishPatchTST(0, 100, "load", "temp")
	if _, err := b.models.Promote(version.Name, model.Decision{Reason: "better"}); err != nil {
		t.Fatal(err)
	}
	if made := b.forecast(b.watermark()); made.Model != version.Name {
		t.Errorf("made by %s, want %s", made.Model, version.Name)
	}
	if _, err := b.models.Rollback("press", fettle.ShortForecaster, model.Decision{Reason: "worse"}); err != nil {
		t.Fatal(err)
	}
	if made := b.forecast(b.watermark()); made.Model == version.Name {
		t.Error("made by a model that was rolled back")
	}
	if loaded := b.engine.memoriesOf("press")[0].loaded; len(loaded) != 1 {
		t.Errorf("%d models in memory, want the one that serves", len(loaded))
	}
}

// A PatchTST comes without a band; it gets one from what it would have said
// before, once there is enough of that.
func TestPatchTSTGetsItsBandFromHistory(t *testing.T) {
	b := newBench(t)
	rows := wave(2000, 2*time.Second)
	b.publishPatchTST(0, 100, "load", "temp")
	b.store(rows[:46])
	b.learn(b.watermark())
	if made := b.forecast(b.watermark()); made.Coverage != 0 || made.Sensors[0].Lower != nil {
		t.Error("a band from fewer than 40 windows")
	}
	b.store(rows[:1500])
	b.learn(b.watermark())
	b.restart() // the band outlives it
	b.learn(b.watermark())
	b.forecast(b.watermark())
	b.restart()
	inside, steps := 0, 0
	b.store(rows)
	for i := 1500; i+2 < len(rows); i++ {
		made := b.forecast(rows[i].Time)
		if made.Coverage != coverage {
			t.Fatalf("coverage %g", made.Coverage)
		}
		for _, s := range made.Sensors {
			for h := range s.Values {
				if v, _ := rows[i+1+h].Value(s.Sensor); s.Lower[h] <= v && v <= s.Upper[h] {
					inside++
				}
				steps++
			}
		}
	}
	if share := float64(inside) / float64(steps); share < 0.85 || share > 0.95 {
		t.Errorf("%.1f %% of the readings lie in the 90 %% band", 100*share)
	}
}

// The band is taken from history before the tick that asks for it.
func TestBandSeesNoRowAfterTheWatermark(t *testing.T) {
	rows := wave(1000, 2*time.Second)
	spoilt := slices.Clone(rows)
	for i := 500; i < len(spoilt); i++ {
		spoilt[i] = reading(spoilt[i].Time, map[string]float64{"load": float64(i % 100), "temp": 0})
	}
	var bands [2][]band
	for i, stored := range [][]fettle.Reading{rows[:500], spoilt} {
		b := newBench(t)
		b.publishPatchTST(0, 100, "load", "temp")
		b.store(stored)
		b.learn(rows[499].Time)
		bands[i] = b.engine.memoriesOf("press")[0].Band.Sensors
	}
	for s := range bands[0] {
		if !slices.Equal(bands[0][s].Below, bands[1][s].Below) || !slices.Equal(bands[0][s].Above, bands[1][s].Above) {
			t.Errorf("rows after the watermark changed the band of sensor %d", s)
		}
	}
}

// The band of a model that was trained here is not taken from what it learned
// from.
func TestBandIsOfRowsThatWereHeldOut(t *testing.T) {
	rows := wave(1000, 2*time.Second)
	learned := slices.Clone(rows)
	for i := range learned[:490] {
		learned[i] = reading(learned[i].Time, map[string]float64{"load": 50, "temp": 50}) // as if it knew them by heart
	}
	var bands [2][]band
	for i, stored := range [][]fettle.Reading{rows, learned} {
		b := newBench(t)
		b.training = &model.Training{ScoredFrom: rows[500].Time}
		b.publishPatchTST(0, 100, "load", "temp")
		b.store(stored)
		b.learn(b.watermark())
		bands[i] = b.engine.memoriesOf("press")[0].Band.Sensors
	}
	for s := range bands[0] {
		if len(bands[0][s].Below) == 0 || !slices.Equal(bands[0][s].Below, bands[1][s].Below) || !slices.Equal(bands[0][s].Above, bands[1][s].Above) {
			t.Errorf("rows that were learned from changed the band of sensor %d", s)
		}
	}
}

func ramp(rows int, from, by float64) []float64 {
	values := make([]float64, rows)
	for i := range values {
		values[i] = from + by*float64(i)
	}
	return values
}
