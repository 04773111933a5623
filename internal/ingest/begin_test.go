package ingest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fettle"
)

// told collects what Begin's senders are told, in order.
type told struct {
	mu      sync.Mutex
	answers []string
}

func (l *told) about(name string) func(error) {
	return func(err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.answers = append(l.answers, fmt.Sprint(name, " ", fettle.KindOf(err)))
	}
}

func (l *told) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.answers)
}

func TestBeginDoesNotWait(t *testing.T) {
	pressed(t, Config{}, func(t *testing.T, s *site, disk *slowDisk) {
		hold := make(chan struct{})
		disk.set(hold, nil)
		var l told
		want := ""
		for i := range 5 {
			s.Begin(t.Context(), now("m"), l.about(fmt.Sprint(i)))
			time.Sleep(time.Millisecond)
			want += fmt.Sprint(" ", i, " ", fettle.KindOf(nil))
		}
		s.Begin(t.Context(), []fettle.Reading{{}}, l.about("bad"))
		if got, want := l.all(), fmt.Sprint("[bad ", fettle.Invalid, "]"); got != want {
			t.Errorf("told %s before the commit, expected %s", got, want)
		}
		close(hold)
		synctest.Wait()
		if got, want := l.all(), fmt.Sprint("[bad ", fettle.Invalid, want, "]"); got != want {
			t.Errorf("told %s, expected %s", got, want)
		}
		for i := 1; i < len(s.told); i++ {
			if !s.told[i-1].Time.Before(s.told[i].Time) {
				t.Errorf("row %d was committed before row %d", i, i-1)
			}
		}
	})
}

// A commit that does not come back, one that never starts, a queue that stays
// full, and a disk that fails: each is told once.
func TestBeginTellsOfTrouble(t *testing.T) {
	pressed(t, Config{QueueBytes: weight(now("m")[0])}, func(t *testing.T, s *site, disk *slowDisk) {
		hold := make(chan struct{})
		disk.set(hold, nil)
		var l told
		s.Begin(t.Context(), now("committing"), l.about("committing"))
		synctest.Wait()
		time.Sleep(time.Millisecond)
		s.Begin(t.Context(), now("queued"), l.about("queued"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		s.Begin(ctx, now("waiting"), l.about("waiting"))
		if took := time.Since(began); took != time.Second {
			t.Errorf("a full queue held Begin for %v, expected until the context ended", took)
		}
		time.Sleep(patience)
		synctest.Wait()
		if got, want := l.all(), fmt.Sprintf("[waiting %v committing %v queued %v]", fettle.Busy, fettle.Unavailable, fettle.Busy); got != want {
			t.Errorf("told %s, expected %s", got, want)
		}
		close(hold)
		disk.set(nil, errFull)
		s.Begin(t.Context(), now("full"), l.about("full"))
		time.Sleep(2 * patience)
		if got, want := l.all(), fmt.Sprintf("[waiting %v committing %v queued %v full %v]", fettle.Busy, fettle.Unavailable, fettle.Busy, fettle.Unavailable); got != want {
			t.Errorf("told %s, expected %s", got, want)
		}
	})
}
