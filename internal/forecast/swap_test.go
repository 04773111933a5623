package forecast

import (
	"testing"
	"time"

	"fettle"
)

// After another model was let serve, the newest forecast is made anew by it, of
// the same rows, once. What is scored stays what was said first.
func TestForecastAfterASwap(t *testing.T) {
	b := newBench(t)
	b.store(wave(300, 2*time.Second))
	b.learn(b.watermark())
	ticks := b.ticks(b.watermark())
	before, _ := b.engine.Latest("press", "short")
	if made := b.engine.Swapped(t.Context(), "press"); len(made) != 0 {
		t.Errorf("nobody was swapped: %+v", made)
	}
	ridge := before.Model
	b.promotePatchTST(0, 100)
	made := b.engine.Swapped(t.Context(), "press")
	latest, found := b.engine.Latest("press", "short")
	if len(made) != 1 || !found || latest.Model == ridge || latest.Model != made[0].Model || !latest.Origin.Equal(before.Origin) {
		t.Errorf("after the swap %+v, before %+v", latest.Forecast, before.Forecast)
	}
	if again := b.engine.Swapped(t.Context(), "press"); len(again) != 0 {
		t.Errorf("made once more: %+v", again)
	}
	b.restart()
	if kept, _ := b.engine.Latest("press", "short"); kept.Model != latest.Model {
		t.Errorf("%s after a restart, want %s", kept.Model, latest.Model)
	}
	n := 0
	err := b.engine.Kept("press", "short", origin, b.watermark().Add(time.Hour), func(f fettle.Forecast) error {
		if n++; f.Model != ridge {
			t.Errorf("kept is a forecast of %s", f.Model)
		}
		return nil
	})
	if err != nil || n != len(ticks) {
		t.Errorf("%d forecasts are kept, want %d; %v", n, len(ticks), err)
	}
}
