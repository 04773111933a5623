package forecast

import (
	"slices"
	"testing"

	"fettle"
)

func TestShelfDropsWhatWasNotUsedForLongest(t *testing.T) {
	s := newShelf(100)
	a, b, c := &memory{machine: "a"}, &memory{machine: "b"}, &memory{machine: "c"}
	for _, step := range []struct {
		use   *memory
		bytes int64
		drops []*memory
	}{
		{a, 40, nil},
		{b, 40, nil},
		{a, 40, nil},
		{c, 40, []*memory{b}},
		{b, 40, []*memory{a}},
		{b, 90, []*memory{c}},
		{a, 500, []*memory{b}}, // larger than all there is room for, but needed now
		{c, 1, []*memory{a}},
	} {
		if got := s.use(step.use, step.bytes); !slices.Equal(got, step.drops) {
			t.Errorf("using %d bytes of %s drops %v", step.bytes, step.use.machine, got)
		}
	}
}

// With room for one model only, machines take turns and say the same.
func TestModelsThatDoNotFitAreLoadedAgain(t *testing.T) {
	roomy, tight := newHorizonBench(t), newHorizonBench(t)
	tight.engine.shelf.budget = 1
	rows := slowWave(3 * 360)
	var last [2]Made
	for i, b := range []*bench{roomy, tight} {
		b.store(rows)
		b.run("minutes")
		last[i], _ = b.engine.Latest("press", "minutes")
		last[i].Model = ""
	}
	if !slices.EqualFunc(last[0].Sensors, last[1].Sensors, func(a, b fettle.SensorForecast) bool { return slices.Equal(a.Values, b.Values) }) {
		t.Errorf("%+v\nwith little room\n%+v", last[0].Forecast, last[1].Forecast)
	}
	loaded := 0
	for _, m := range tight.engine.memoriesOf("press") {
		loaded += len(m.loaded)
	}
	if loaded != 1 {
		t.Errorf("%d models are loaded, want the one that was used last", loaded)
	}
}
