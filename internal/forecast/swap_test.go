package forecast

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
	"fettle/internal/model"
)

// Whoever forecasts while models are promoted and rolled back gets a forecast
// each time, by a version that served at that moment.
func TestModelsAreSwappedUnderLoad(t *testing.T) {
	b := newBench(t)
	b.store(wave(300, 2*time.Second))
	b.learn(b.watermark())
	ridge := b.forecast(b.watermark()).Model
	network := b.publishPatchTST(0, 100, "load", "temp").Name
	at := Tick{fettle.ShortForecaster, b.watermark()}

	var made [2]atomic.Int64 // by ridge, by network
	stop := make(chan struct{})
	var askers sync.WaitGroup
	for range 4 {
		askers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := b.engine.Forecast(t.Context(), "press", at)
				switch {
				case err != nil:
					t.Error(err)
					return
				case got.Model == ridge:
					made[0].Add(1)
				case got.Model == network:
					made[1].Add(1)
				default:
					t.Errorf("made by %s", got.Model)
				}
			}
		})
	}
	swaps := 0
	for deadline := time.Now().Add(time.Second); swaps < 20 || time.Now().Before(deadline); swaps++ {
		before := made[1].Load()
		if _, err := b.models.Promote(network, model.Decision{Reason: "better"}); err != nil {
			t.Fatal(err)
		}
		wait(t, &made[1], before)
		before = made[0].Load()
		if m, err := b.models.Rollback("press", fettle.ShortForecaster, model.Decision{Reason: "worse"}); err != nil || m.Name != ridge {
			t.Fatal(m.Name, err)
		}
		wait(t, &made[0], before)
		if t.Failed() {
			break
		}
	}
	close(stop)
	askers.Wait()
	t.Logf("%d swaps, %d forecasts by ridge, %d by the network", 2*swaps, made[0].Load(), made[1].Load())
}

// wait until a version has forecast again.
func wait(t *testing.T, n *atomic.Int64, before int64) {
	for n.Load() <= before && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
}
