package app

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/train"
)

// A machine runs another product from one day on. Its alarm stays, and nothing
// is learned from what may be a fault, until a person says that this is normal
// now; then the alarm ends, no other comes, and trainings learn the product.
func TestAnotherProductIsAccepted(t *testing.T) {
	f := newFortnight(t, "")
	defer f.stop(t)
	f.live(4)
	changed := f.at
	f.speeds, f.level = otherSpeeds, 30
	f.live(2)
	open := f.flow.alarms.OpenOf("feeder")
	if len(open) != 1 || open[0].RaisedAt.Sub(changed) > time.Hour {
		t.Fatalf("two days into another product: %+v", open)
	}
	learned := func(r fettle.Training) (left time.Duration) { // of the product
		for _, q := range r.Quarantined {
			left += max(0, q.To.Sub(changed))
		}
		return r.To.Sub(changed) - left
	}
	for _, r := range f.runs() {
		if r.To != nil && r.To.After(changed) && learned(r) > time.Hour {
			t.Errorf("run %d by %s learned from what is in alarm: %v", r.ID, r.Trigger, r.Quarantined)
		}
	}

	f.accept(open[0].ID)
	said := f.at
	f.live(2)
	if all := f.flow.alarms.List(alarm.Filter{}); slices.ContainsFunc(all, fettle.Alarm.Open) || slices.ContainsFunc(all, func(a fettle.Alarm) bool { return !a.RaisedAt.Before(said) }) {
		t.Errorf("alarms after it was accepted: %+v", all)
	}
	if q := f.flow.judge.Quarantined("feeder", changed, f.at); len(q) > 0 && q[len(q)-1].To.Sub(q[0].From) > time.Hour {
		t.Errorf("in quarantine after it was accepted: %v", q)
	}
	drift := f.newest(train.ByDrift)
	if drift.QueuedAt.Before(said) || learned(drift) < 24*time.Hour {
		t.Errorf("the training after it was accepted, at %v: %+v", said, drift)
	}

	f.level = 60 // and that is one change more
	f.live(1)
	if open := f.flow.alarms.OpenOf("feeder"); len(open) != 1 {
		t.Errorf("a day into the next level: %+v", open)
	}
}

// accept says through the API that what an alarm tells of is normal now.
func (f *fortnight) accept(id uint64) {
	f.t.Helper()
	path := fmt.Sprintf("/api/v1/alarms/%d/accept", id)
	var ended fettle.Alarm
	f.ask("POST", path, `{"by":"Ada","note":"the small bags"}`, &ended)
	if ended.State != fettle.Cleared || ended.AcceptedBy != "Ada" || ended.AcknowledgedBy != "Ada" || ended.Note != "the small bags" {
		f.t.Errorf("accepted: %+v", ended)
	}
}
