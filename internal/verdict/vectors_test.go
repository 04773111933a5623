package verdict

import (
	"math"
	"testing"
)

// The reference figures were computed by another implementation of the same
// arithmetic, in another language. They have four or five digits.
func TestStateOnNABMachineTemperature(t *testing.T) {
	rows := recorded(t, "../../testdata/nab/machine_temperature_system_failure.csv", ',')
	s, _ := strangeness(t, rows, min(len(rows)*15/100, 750))
	for _, want := range []struct {
		row int
		s   float64
	}{
		{749, 2.0668}, {1000, 0.9646}, {3987, 9.3725}, {16100, 3.6296}, {19300, 1.5294},
	} {
		wantStrangeness(t, want.row, s[want.row], want.s)
	}
}

// wantStrangeness allows what rounding to five digits does, and no more.
func wantStrangeness(t *testing.T, row int, got, want float64) {
	t.Helper()
	rounding := 0.000051
	if want >= 10 {
		rounding *= 10
	}
	if math.Abs(got-want) > rounding {
		t.Errorf("S at row %d is %.5f; expected %.4f", row, got, want)
	}
	t.Logf("S at row %d: %.5f (reference %.5g)", row, got, want)
}
