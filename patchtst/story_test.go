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

// TestResearchSize compares models of the research size with transformers:
// 42 GFLOP each.
func TestResearchSize(t *testing.T) {
	testHashModel(t, "research", 1_220_848)
}

// TestResearchFlatten is the same with a head that reads every patch.
func TestResearchFlatten(t *testing.T) {
	testHashModel(t, "research_flatten", 25_551_088)
}
