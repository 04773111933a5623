//go:build story

package model

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"fettle"

	"fettle/patchtst"
	"fettle/patchtst/safetensors"
)

// TestOldModel imports a model of the old system with its scaler, and forecasts
// from raw rows what scikit-learn and transformers forecast. The model has no
// licence, so it is not part of this repository: FETTLE_DATA names the folder
// that holds migration/ and patchtst-goldens/.
func TestOldModel(t *testing.T) {
	data := os.Getenv("FETTLE_DATA")
	if data == "" {
		t.Fatal("FETTLE_DATA is not set; it names the folder that holds migration/ and patchtst-goldens/")
	}
	f, _ := open(t, t.TempDir())
	m, err := f.Import(filepath.Join(data, "migration", "models", "model_cnc-mill-5-axis_20251124_093154"), ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "model_cnc-mill-5-axis_20251124_093154" || m.Machine != "cnc-mill-5-axis" || m.Parameters != 269_962 || m.Context != 50 || m.Horizon != 10 {
		t.Errorf("%+v", m)
	}
	v, _ := f.Champion("cnc-mill-5-axis", fettle.ShortForecaster)
	net, err := patchtst.Load(v.Dir)
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Open(filepath.Join(data, "patchtst-goldens", "seed_ckpt.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read := func(name string) []float64 {
		values, err := file.Float64(name)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	// The scaler's own numbers, to the last bit, a row out of its range included.
	rows, scaled := read("scaler_rows"), read("scaler_rows_transformed")
	for i, x := range rows {
		if got := v.Scaler.Transform(i%6, x); got != scaled[i] {
			t.Errorf("%v of channel %d is scaled to %v; want %v", x, i%6, got, scaled[i])
		}
	}
	raw := read("e2e_raw_rows")
	x := make([]float32, len(raw))
	for i, value := range raw {
		x[i] = float32(v.Scaler.Transform(i%6, value))
	}
	want := read("e2e_forecast_f64")
	for i, y := range net.Forward(nil, x) {
		got := v.Scaler.Inverse(i%6, float64(y))
		span := v.Scaler.DataMax[i%6] - v.Scaler.DataMin[i%6]
		if off := math.Abs(got - want[i]); !(off <= 1e-5*span) {
			t.Errorf("step %d of %s is %v; want %v: off by %.2g", i/6, v.Sensors[i%6], got, want[i], off)
		}
	}
}
