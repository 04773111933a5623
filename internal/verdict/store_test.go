package verdict

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

func TestVerdictsAreKept(t *testing.T) {
	rows := healthy(900, 1)
	change(rows, "tempA", 700, 750, func(_ int, v float64) float64 { return v + 5 })
	r := newRoom(t)
	verdicts := r.live(rows)
	for _, c := range []struct{ from, to int }{{0, 900}, {0, 0}, {255, 258}, {100, 600}, {720, 721}, {899, 2000}} {
		var got []fettle.Verdict
		err := r.Range("m", at(c.from), at(c.to), func(v fettle.Verdict) error { got = append(got, v); return nil })
		if err != nil {
			t.Fatal(err)
		}
		want := verdicts[c.from:min(c.to, 900)]
		if !slices.EqualFunc(got, want, same) {
			t.Errorf("rows %d..%d: %d verdicts read back, or different ones", c.from, c.to, len(got))
		}
	}
	enough := errors.New("enough")
	if err := r.Range("m", at(0), at(900), func(fettle.Verdict) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error of yield became %v", err)
	}
}

// same compares to the thousandth that is kept.
func same(a, b fettle.Verdict) bool {
	const thousandth = 0.000501
	return a.Machine == b.Machine && a.Time.Equal(b.Time) && a.Learning == b.Learning && math.Abs(a.Score-b.Score) < 2*thousandth &&
		(a.Score > 1) == (b.Score > 1) && slices.EqualFunc(a.Causes, b.Causes, func(a, b fettle.Cause) bool {
		return a.Sensor == b.Sensor && a.Value == b.Value && a.Low == b.Low && a.High == b.High && math.Abs(a.Share-b.Share) < thousandth
	})
}

func TestVerdictsAreKeptFor90Days(t *testing.T) {
	rows := healthy(2000, 1)
	for i := range rows {
		rows[i].Time = at(0).Add(time.Duration(i) * 2 * time.Hour) // 166 days
	}
	r := newRoom(t)
	r.live(rows)
	var oldest fettle.Verdict
	err := r.Range("m", at(0), rows[1999].Time, func(v fettle.Verdict) error {
		if oldest.Time.IsZero() {
			oldest = v
		}
		return nil
	})
	age := rows[1999].Time.Sub(oldest.Time)
	if err != nil || age < keep-daily || age > keep+2*chunkRows*2*time.Hour {
		t.Errorf("oldest verdict is %v days old, err %v", age.Hours()/24, err)
	}
}

func TestUnreadableStateIsLearnedAnew(t *testing.T) {
	for _, prefix := range []string{modelPrefix, statePrefix, quarantinePrefix} {
		rows := healthy(400, 1)
		r := newRoom(t)
		want := r.live(rows)
		batch := r.db.NewBatch()
		batch.Set(key(prefix, "m"), []byte{recordVersion + 1})
		if err := r.db.Commit(batch, db.Synced); err != nil {
			t.Fatal(err)
		}
		r.reopen()
		if !r.Cursor("m").IsZero() {
			t.Fatalf("%s: cursor is %v", prefix, r.Cursor("m"))
		}
		if got := r.judge(rows); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: verdicts differ", prefix)
		}
		kept := 0
		if err := r.Range("m", at(0), at(400), func(fettle.Verdict) error { kept++; return nil }); err != nil || kept != 400 {
			t.Errorf("%s: %d verdicts kept, err %v", prefix, kept, err)
		}
	}
}
