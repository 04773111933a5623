//go:build story

package patchtst

import (
	"os"
	"path/filepath"
	"testing"
)

// TestDeployedModel compares a model of the old system with transformers. The
// model has no licence, so it is not part of this repository: FETTLE_DATA names
// the folder that holds migration/ and patchtst-goldens/.
func TestDeployedModel(t *testing.T) {
	data := os.Getenv("FETTLE_DATA")
	if data == "" {
		t.Fatal("FETTLE_DATA is not set; it names the folder that holds migration/ and patchtst-goldens/")
	}
	m, err := Load(filepath.Join(data, "migration", "models", "model_cnc-mill-5-axis_20251124_093154"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Parameters() != 269_962 {
		t.Errorf("%d parameters; want 269,962", m.Parameters())
	}
	golden := openTensors(t, filepath.Join(data, "patchtst-goldens", "seed_ckpt.safetensors"))
	near(t, "forecast", forwardAll(m, float32s(t, golden, "input")), float32s(t, golden, "output"), tolerance)
}

// TestResearchSize compares a model of the research size with transformers.
func TestResearchSize(t *testing.T) {
	golden := openGolden(t, "hash_models.safetensors")
	m := hashModel(golden.models["research"].Config).load(t)
	if m.Parameters() != 1_220_848 {
		t.Errorf("%d parameters; want 1,220,848", m.Parameters())
	}
	x := make([]float32, 2*1200*6)
	fillHash(x, "past_values", func(u float32) float32 { return u })
	near(t, "forecast", forwardAll(m, x), float32s(t, golden.File, "research.pred_eval"), tolerance)
}
