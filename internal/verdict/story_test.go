//go:build story

package verdict

import (
	"os"
	"path/filepath"
	"testing"
)

// SKAB is a recording of a water-circulation rig; its label columns are never
// shown to the detector. The folder of recordings is $FETTLE_DATA.
func TestStateOnSKABValve1(t *testing.T) {
	data := os.Getenv("FETTLE_DATA")
	if data == "" {
		t.Fatal("set FETTLE_DATA to the folder that holds skab/valve1/0.csv")
	}
	rows := recorded(t, filepath.Join(data, "skab/valve1/0.csv"), ';', "anomaly", "changepoint")
	s, on := strangeness(t, rows, 400)
	for _, want := range []struct {
		row int
		s   float64
	}{
		{100, 0.9553}, {399, 1.3149}, {400, 1.3714}, {500, 2.3392}, {573, 1.4734},
		{600, 3.6957}, {700, 10.942}, {900, 3.7966}, {1000, 2.8254}, {1146, 2.8313},
	} {
		wantStrangeness(t, want.row, s[want.row], want.s)
	}
	rowsOn, first := 0, -1
	for i := range on {
		if on[i] {
			rowsOn++
			if first < 0 {
				first = i
			}
		}
	}
	if rowsOn != 165 || first != 658 {
		t.Errorf("on in %d rows, first at %d; expected 165, first at 658", rowsOn, first)
	}
}
