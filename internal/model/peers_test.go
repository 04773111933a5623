//go:build peers

package model

import (
	"bytes"
	"encoding/json"
	"math"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSklearn lets scikit-learn of the old deployments and the newest load what
// fettle writes, and fettle what they write: the same numbers to the last bit,
// and no word about versions.
func TestSklearn(t *testing.T) {
	rows := [][]float64{{10, -0.2, 60}, {17, 0.2, 61.75}, {13.3, 0.1, 60.1}, {-4, 1e6, 1e-9}}
	scalers := map[string]Scaler{
		"minmax": {DataMin: []float64{10, -0.2, 60}, DataMax: []float64{17, 0.2, 61.75}, Scale: []float64{1.0 / 7, 2.5, 1 / 1.75}, Min: []float64{-10.0 / 7, 0.5, -60 / 1.75}, FeatureNames: []string{"current", "Schwingung é", "tempA"}},
		"robust": {DataMin: []float64{10, -0.2, 60}, DataMax: []float64{17, 0.2, 61.75}, Scale: []float64{1.0 / 3, 7, 1 / 0.9}, Min: []float64{-13.0 / 3, 0.25, -61 / 0.9}, Unclipped: true},
	}
	for which, version := range map[string]string{"old": "1.3.1", "new": ""} {
		dir := t.TempDir()
		text, err := json.Marshal(rows)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "rows.json"), text)
		if version == "" {
			out, err := sklearn(which, "-c", "import sklearn; print(sklearn.__version__, end='')")
			if err != nil {
				t.Fatal(err)
			}
			version = string(out)
		}
		for name, s := range scalers {
			write(t, filepath.Join(dir, name+".pkl"), s.Pickle(version))
		}
		out, err := sklearn(which, filepath.Join("testdata", "peers", "scalers.py"), dir)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Version              string
			Warnings             []string
			Scaled, Back, Fitted map[string][][]float64
		}
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatal(err)
		}
		t.Logf("scikit-learn %s", answer.Version)
		// Rows without names, as the old system passes them, are worth a word
		// to scikit-learn; that says nothing about the file.
		for _, warning := range answer.Warnings {
			if warning != "X does not have valid feature names, but MinMaxScaler was fitted with feature names" {
				t.Errorf("scikit-learn %s warns: %s", answer.Version, warning)
			}
		}
		for name, s := range scalers {
			compare(t, s, rows, answer.Scaled[name])
			for i := range rows {
				for channel, x := range answer.Back[name][i] {
					if got := s.Inverse(channel, s.Transform(channel, rows[i][channel])); got != x {
						t.Errorf("%s: %v comes back as %v; want %v", name, rows[i][channel], got, x)
					}
				}
			}
		}
		for name, scaled := range answer.Fitted {
			s, err := ReadScaler(filepath.Join(dir, name+".pkl"))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, s, rows, scaled)
		}
	}
}

func compare(t *testing.T, s Scaler, rows, scaled [][]float64) {
	t.Helper()
	if len(scaled) != len(rows) {
		t.Fatalf("%d rows; want %d", len(scaled), len(rows))
	}
	for i, row := range rows {
		for channel, x := range row {
			if got := s.Transform(channel, x); math.Float64bits(got) != math.Float64bits(scaled[i][channel]) {
				t.Errorf("%v of channel %d is scaled to %v; want %v", x, channel, got, scaled[i][channel])
			}
		}
	}
}

func sklearn(which string, args ...string) ([]byte, error) {
	command := exec.Command("../../scripts/peers/sklearn.sh", append([]string{which}, args...)...)
	var words bytes.Buffer
	command.Stderr = &words
	out, err := command.Output()
	if err != nil {
		err = &exec.Error{Name: words.String(), Err: err}
	}
	return out, err
}
