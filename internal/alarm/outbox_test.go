package alarm

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// An outbox that keeps a record of each change, and may be broken.
type outbox struct {
	err       error
	committed []string
}

func (o *outbox) Note(batch *db.Batch, until time.Time, changed []fettle.Alarm) (func(), error) {
	var noted []string
	for _, a := range changed {
		noted = append(noted, fmt.Sprint(a.ID, " ", a.State, " ", until.Sub(start)))
		batch.Set([]byte("o/"+noted[len(noted)-1]), nil)
	}
	return func() { o.committed = append(o.committed, noted...) }, o.err
}

// What is to be told is on disk with the alarm, or neither is.
func TestOutboxIsInTheCommit(t *testing.T) {
	r := newRoom(t)
	o := &outbox{err: errors.New("no more room")}
	r.Outbox = o
	list := verdicts("m", "vib", 0, 1.5, 1.5, 1.5)
	if err := r.Apply("m", list, words); err == nil || len(r.List(Filter{})) > 0 || len(o.committed) > 0 || len(r.changes) > 0 {
		t.Fatalf("with a broken outbox: %v, alarms %v, told %v", err, r.List(Filter{}), r.changes)
	}
	o.err = nil
	r.apply(list)
	if _, err := r.Acknowledge(2, "anna", ""); err != nil {
		t.Fatal(err)
	}
	r.apply(verdicts("m", "vib", 3, 0, 0, 0, 0, 0))
	if got := strings.Join(o.committed, ", "); got != "2 raised 2s, 2 cleared 7s" {
		t.Errorf("noted %s", got)
	}
	for _, note := range o.committed {
		if _, found, err := r.db.Get([]byte("o/" + note)); !found || err != nil {
			t.Errorf("%q is not kept (%v)", note, err)
		}
	}
}
