package verdict

import (
	"testing"
	"time"

	"fettle"
	"pgregory.net/rapid"
)

// However many intervals there were, every row put in stays in, and the bound
// holds.
func TestQuarantineKeepsAllItsRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q quarantine
		inside := map[int]bool{}
		rows := rapid.IntRange(1, 6000).Draw(t, "rows")
		every := rapid.IntRange(1, 7).Draw(t, "every")
		for row := range rows {
			if row%every == 0 || row%97 < 5 {
				q.add(at(row), at(row-1))
				inside[row] = true
			}
		}
		all := q.within(at(-10), at(rows))
		if len(all) > maxIntervals {
			t.Fatalf("%d intervals", len(all))
		}
		kept := skipping(all)
		wrong := 0
		for row := range rows {
			skips := kept.skips(at(row))
			if inside[row] && !skips {
				t.Fatalf("row %d is not in quarantine", row)
			}
			if skips && !inside[row] {
				wrong++
			}
		}
		if wrong > 0 && len(all) < maxIntervals {
			t.Fatalf("%d rows are in quarantine without need", wrong)
		}
	})
}

func TestQuarantineReleasesAndForgets(t *testing.T) {
	var q quarantine
	for row := range 100 {
		if row/10%2 == 0 { // 0..9, 20..29, 40..49, 60..69, 80..89
			q.add(at(row), at(row-1))
		}
	}
	q.release(at(65))
	q.forget(at(25))
	want := []fettle.Interval{
		{From: at(20), To: at(29).Add(time.Microsecond)},
		{From: at(40), To: at(49).Add(time.Microsecond)},
		{From: at(60), To: at(65)},
	}
	got := q.within(at(0), at(100))
	if len(got) != len(want) {
		t.Fatalf("quarantined are %v, expected %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("interval %d is %v, expected %v", i, got[i], want[i])
		}
	}
}
