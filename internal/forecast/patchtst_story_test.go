//go:build story

package forecast

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fettle/internal/model"
	"fettle/patchtst/safetensors"
)

// The deployed model, with its scikit-learn scaler, forecasts raw rows as
// transformers and scikit-learn do.
func TestDeployedModelFromRawRows(t *testing.T) {
	data := os.Getenv("FETTLE_DATA")
	golden, err := safetensors.Open(filepath.Join(data, "patchtst-goldens", "seed_ckpt.safetensors"))
	if err != nil {
		t.Fatalf("%v; set FETTLE_DATA to the folder that holds migration/ and patchtst-goldens/", err)
	}
	defer golden.Close()
	raw, err := golden.Float64("e2e_raw_rows") // (50, 6)
	if err != nil {
		t.Fatal(err)
	}
	want, err := golden.Float64("e2e_forecast_f64") // (10, 6)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	sensors := []string{"current", "accX", "accY", "accZ", "tempA", "tempB"}
	series := map[string][]float64{}
	for i, v := range raw {
		series[sensors[i%6]] = append(series[sensors[i%6]], v)
	}
	b.store(machineRows(50, series))
	src := filepath.Join(data, "migration", "models", "model_cnc-mill-5-axis_20251124_093154")
	if _, err := b.models.Import(src, model.ImportOptions{Machine: "press"}); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	made := b.forecast(b.watermark())
	t.Logf("loaded and forecast in %s", time.Since(started))
	worst := 0.0
	for i, s := range made.Sensors {
		span := made.Scale[i].High - made.Scale[i].Low
		for h, v := range s.Values {
			worst = max(worst, math.Abs(v-want[h*6+i])/span)
		}
		if s.Sensor != sensors[i] {
			t.Errorf("sensor %d is %s, want %s", i, s.Sensor, sensors[i])
		}
	}
	t.Logf("worst difference: %.1e of the range", worst)
	if worst > 1e-5 {
		t.Errorf("differs from transformers by %g of the range", worst)
	}
}
