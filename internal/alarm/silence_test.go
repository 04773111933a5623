package alarm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// A quiet is a book by a clock that can be moved.
type quiet struct {
	*Book
	now time.Time
}

func newQuiet(t *testing.T) *quiet {
	t.Helper()
	q := &quiet{now: wall}
	store, err := db.Open(t.TempDir(), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	q.open(t, store)
	return q
}

func (q *quiet) open(t *testing.T, store *db.DB) {
	t.Helper()
	var err error
	if q.Book, err = Open(store, func() time.Time { return q.now }, func(fettle.Alarm) {}); err != nil {
		t.Fatal(err)
	}
}

// silence asks for one of press-3 that begins and ends so long after now.
func (q *quiet) silence(t *testing.T, from, until time.Duration) fettle.Silence {
	t.Helper()
	s, err := q.Silence(fettle.Silence{Machine: "press-3", Kind: fettle.SilenceService, From: q.now.Add(from), Until: q.now.Add(until), Why: "new bearing", By: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSilenceEndsByItself(t *testing.T) {
	q := newQuiet(t)
	long := q.silence(t, 0, 2*time.Hour)
	q.silence(t, 0, time.Hour)
	for _, c := range []struct {
		machine string
		after   time.Duration
		want    bool
	}{
		{"press-3", 0, true}, {"press-3", 2*time.Hour - 1, true}, {"press-3", 2 * time.Hour, false}, {"press-3", -1, false}, {"press-4", 0, false},
	} {
		if s, got := q.Silenced(c.machine, wall.Add(c.after)); got != c.want || got && s.ID != long.ID {
			t.Errorf("%s after %v: %v by silence %d, want %v by %d", c.machine, c.after, got, s.ID, c.want, long.ID)
		}
	}
}

func TestSilenceIsKeptOverRestarts(t *testing.T) {
	q := newQuiet(t)
	first, second := q.silence(t, 0, time.Hour), q.silence(t, time.Hour, 2*time.Hour)
	q.open(t, q.db)
	if got := q.Silences("press-3"); len(got) != 2 || got[0] != second || got[1] != first {
		t.Errorf("after a restart %+v", got)
	}
	if third := q.silence(t, 0, time.Hour); third.ID != second.ID+1 {
		t.Errorf("the next has number %d, after %d", third.ID, second.ID)
	}
}

func TestSilenceIsEnded(t *testing.T) {
	q := newQuiet(t)
	running, planned := q.silence(t, 0, time.Hour), q.silence(t, 2*time.Hour, 3*time.Hour)
	q.now = q.now.Add(time.Minute)
	ended, err := q.EndSilence(running.ID, "Ben")
	if err != nil || !ended.Until.Equal(q.now) || ended.EndedBy != "Ben" {
		t.Errorf("ended %+v, %v", ended, err)
	}
	if _, found := q.Silenced("press-3", q.now); found {
		t.Error("still silent")
	}
	if _, err := q.EndSilence(planned.ID, "Ben"); err != nil {
		t.Error(err)
	}
	want := fettle.Interval{From: running.From, To: q.now}
	if got := q.SilencedWithin("press-3", wall.Add(-time.Hour), wall.Add(9*time.Hour)); len(got) != 1 || got[0] != want {
		t.Errorf("not learned from: %v, want %v alone", got, want)
	}
	if _, err := q.EndSilence(running.ID, "Ben"); fettle.KindOf(err) != fettle.Conflict {
		t.Errorf("ended again: %v", err)
	}
	if _, err := q.EndSilence(99, "Ben"); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestSilencedTimeIsOneListOfStretches(t *testing.T) {
	q := newQuiet(t)
	q.silence(t, 0, time.Hour)
	q.silence(t, 30*time.Minute, 2*time.Hour)
	q.silence(t, 4*time.Hour, 5*time.Hour)
	var got []string
	for _, i := range q.SilencedWithin("press-3", wall.Add(time.Hour), wall.Add(4*time.Hour+1)) {
		got = append(got, fmt.Sprint(i.From.Sub(wall), "-", i.To.Sub(wall)))
	}
	if text := strings.Join(got, " "); text != "30m0s-2h0m0s 4h0m0s-5h0m0s" {
		t.Error(text)
	}
}

func TestSilencesThatAreRefused(t *testing.T) {
	q := newQuiet(t)
	good := fettle.Silence{Machine: "press-3", Kind: fettle.SilenceNotices, Until: wall.Add(time.Hour), Why: "known", By: "Ada"}
	for _, c := range []struct {
		change func(*fettle.Silence)
		want   string
	}{
		{func(s *fettle.Silence) { s.Kind = "nap" }, `kind is "nap"; expected silence or service`},
		{func(s *fettle.Silence) { s.Until = wall }, "for is 0s; expected more than 0s, at most 168h"},
		{func(s *fettle.Silence) { s.Until = wall.Add(169 * time.Hour) }, "for is 169h0m0s; expected more than 0s, at most 168h (7 days); silence it again then"},
		{func(s *fettle.Silence) { s.From = wall.Add(-745 * time.Hour); s.Until = s.From.Add(time.Hour) }, "expected a time at most 744h (31 days) from now"},
		{func(s *fettle.Silence) { s.Why = "" }, `why is ""; expected the reason`},
		{func(s *fettle.Silence) { s.By = "" }, `by is ""; expected who asks for it`},
	} {
		asked := good
		c.change(&asked)
		if _, err := q.Silence(asked); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	for range maxSilences {
		if _, err := q.Silence(good); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.Silence(good); fettle.KindOf(err) != fettle.Conflict {
		t.Errorf("one too many: %v", err)
	}
}
