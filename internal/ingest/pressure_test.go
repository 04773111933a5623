package ingest

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/readings"
)

// slowDisk is a store whose commits can be held up or made to fail.
type slowDisk struct {
	*readings.Store
	mu   sync.Mutex
	held chan struct{} // not nil: a commit waits until it is closed
	err  error         // not nil: a commit fails
}

func (s *slowDisk) Append(rows []fettle.Reading) (readings.Appended, error) {
	s.mu.Lock()
	held, err := s.held, s.err
	s.mu.Unlock()
	if held != nil {
		<-held
	}
	if err != nil {
		return readings.Appended{}, err
	}
	return s.Store.Append(rows)
}

func (s *slowDisk) set(held chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held, s.err = held, err
}

var errFull = fettle.Errorf(fettle.Unavailable, "disk is full")

// pressed runs a test in a bubble of time, with a gate before a slow disk.
func pressed(t *testing.T, cfg Config, test func(t *testing.T, s *site, disk *slowDisk)) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{}
		cfg.Now = time.Now
		s := newSiteBefore(t, cfg, func(rows *readings.Store) store {
			disk.Store = rows
			return disk
		})
		test(t, s, disk)
	})
}

// now is a good reading of this moment.
func now(machine string) []fettle.Reading {
	return []fettle.Reading{{Machine: machine, Time: time.Now(), Values: []fettle.Value{{Sensor: "a", Value: 1}}}}
}

// later submits in the background.
func (s *site) later(ctx context.Context, rows []fettle.Reading) <-chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := s.Submit(ctx, rows)
		answer <- err
	}()
	synctest.Wait()
	return answer
}

func TestFullQueue(t *testing.T) {
	pressed(t, Config{QueueBytes: weight(now("m")[0])}, func(t *testing.T, s *site, disk *slowDisk) {
		hold := make(chan struct{})
		disk.set(hold, nil)
		begun := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		committing := s.later(t.Context(), now("committing"))
		queued := s.later(t.Context(), now("queued"))
		waiting := s.later(t.Context(), now("waiting"))
		leaving := s.later(ctx, now("leaving"))
		if got := s.Stats().QueueBytes; got == 0 {
			t.Error("nothing is queued")
		}

		cancel()
		wantKind(t, <-leaving, fettle.Busy, "full", "canceled")
		wantKind(t, s.Offer(now("offered")), fettle.Busy, "full")
		if got := s.Stats().Dropped; got != 1 {
			t.Errorf("%d readings dropped, expected 1", got)
		}
		wantKind(t, <-waiting, fettle.Busy, "full", "waited 10s")
		wantKind(t, <-queued, fettle.Busy, "did not start in time")
		wantKind(t, <-committing, fettle.Unavailable, "not confirmed")
		if took := time.Since(begun); took != patience {
			t.Errorf("they waited %v, expected %v", took, patience)
		}

		close(hold)
		if err := <-s.later(t.Context(), now("later")); err != nil {
			t.Error(err)
		}
		for machine, want := range map[string]bool{"committing": true, "later": true, "queued": false, "waiting": false, "leaving": false, "offered": false} {
			if _, stored := s.store.Info(machine); stored != want {
				t.Errorf("%s is stored: %v, expected %v", machine, stored, want)
			}
		}
	})
}

// Who waits for room gets in as soon as there is some.
func TestRoomIsMade(t *testing.T) {
	pressed(t, Config{QueueBytes: 1}, func(t *testing.T, s *site, disk *slowDisk) {
		hold := make(chan struct{})
		disk.set(hold, nil)
		var answers []<-chan error
		for i := range 20 {
			answers = append(answers, s.later(t.Context(), now(fmt.Sprint("m", i))))
		}
		close(hold)
		for i, answer := range answers {
			if err := <-answer; err != nil {
				t.Errorf("m%d: %v", i, err)
			}
		}
	})
}

// What waits during a commit shares the next one.
func TestCommitsAreShared(t *testing.T) {
	pressed(t, Config{}, func(t *testing.T, s *site, disk *slowDisk) {
		hold := make(chan struct{})
		disk.set(hold, nil)
		var answers []<-chan error
		for range 50 {
			answers = append(answers, s.later(t.Context(), now("m")))
			time.Sleep(time.Millisecond)
		}
		close(hold)
		for _, answer := range answers {
			if err := <-answer; err != nil {
				t.Error(err)
			}
		}
		if got := s.Stats(); got.Commits != 2 || got.New != 50 {
			t.Errorf("%d commits of %d rows, expected 2 of 50", got.Commits, got.New)
		}
		for i := 1; i < len(s.told); i++ {
			if !s.told[i-1].Time.Before(s.told[i].Time) {
				t.Errorf("committed was told of row %d before row %d", i, i-1)
			}
		}
	})
}

func TestFullDiskRecovers(t *testing.T) {
	pressed(t, Config{}, func(t *testing.T, s *site, disk *slowDisk) {
		disk.set(nil, errFull)
		for range 3 {
			wantKind(t, <-s.later(t.Context(), now("m")), fettle.Unavailable, "disk is full")
		}
		if err := s.Offer(now("m")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := s.Stats(); got.Dropped != 1 || got.Rows != 0 || got.Commits != 0 || len(s.told) != 0 || !s.Arrived("m").IsZero() {
			t.Errorf("Stats are %+v, told %v", got, s.told)
		}
		disk.set(nil, nil)
		if err := <-s.later(t.Context(), now("m")); err != nil || len(s.told) != 1 {
			t.Errorf("%v, told %v", err, s.told)
		}
	})
}

func TestGateIsClosed(t *testing.T) {
	pressed(t, Config{}, func(t *testing.T, s *site, disk *slowDisk) {
		idle := newGate(Config{}, s.store, nil)
		_, err := idle.Submit(t.Context(), now("m"))
		wantKind(t, err, fettle.Unavailable, "closed")

		// What is queued when Run is told to end is still committed.
		hold := make(chan struct{})
		disk.set(hold, nil)
		first, second := s.later(t.Context(), now("first")), s.later(t.Context(), now("second"))
		ended := make(chan error, 1)
		go func() { ended <- s.stop() }()
		synctest.Wait()
		_, err = s.submit(now("late")...)
		wantKind(t, err, fettle.Unavailable, "closed")
		wantKind(t, s.Offer(now("late")), fettle.Unavailable, "closed")
		close(hold)
		for _, answer := range []<-chan error{first, second, ended} {
			if err := <-answer; err != nil {
				t.Error(err)
			}
		}
	})
}

// A commit that never comes back does not keep the program from ending.
func TestStuckDiskAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d, err := db.Open(filepath.Join(dir, "db"), db.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		rows, err := readings.Open(d, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		hold := make(chan struct{})
		g := newGate(Config{}, &slowDisk{Store: rows, held: hold}, func([]fettle.Reading) {})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		synctest.Wait()
		if err := g.Offer(now("m")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		wantKind(t, <-ended, fettle.Unavailable, "waiting for the disk")
		close(hold)
		synctest.Wait()
		mustBeSound(t, rows)
	})
}

// Many senders, readers of the books, and offers at once: everything
// acknowledged is there, once.
func TestManySenders(t *testing.T) {
	s := newSite(t, Config{QueueBytes: 4000, Now: time.Now})
	var senders sync.WaitGroup
	for i := range 20 {
		senders.Go(func() {
			machine := fmt.Sprint("m", i)
			for n := range 50 {
				r := row(machine, n)
				if done, err := s.submit(r, row(machine, n), fettle.Reading{}); fettle.KindOf(err) != fettle.Invalid || done.Stored != 2 {
					t.Errorf("Submit did %+v, %v", done, err)
				}
				s.Stats()
				s.Rejected()
				s.Arrived(machine)
			}
		})
		senders.Go(func() {
			for n := range 50 {
				_ = s.Offer([]fettle.Reading{row("offered", 1000*i+n)})
				s.Refuse("topic", nil, errFull)
			}
		})
	}
	senders.Wait()
	for i := range 20 {
		if info, _ := s.store.Info(fmt.Sprint("m", i)); info.Rows != 50 {
			t.Errorf("m%d has %d rows, expected 50", i, info.Rows)
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	got := s.Stats()
	offered, _ := s.store.Info("offered")
	if got.New != 1000+offered.Rows || got.Merged != 1000 || got.Dropped != 1000-offered.Rows || int(got.Rows) != len(s.told) {
		t.Errorf("Stats are %+v, offered %d, told %d", got, offered.Rows, len(s.told))
	}
}

// The gate moves unless a commit does not come back; a commit that fails does.
func TestTurn(t *testing.T) {
	pressed(t, Config{}, func(t *testing.T, s *site, disk *slowDisk) {
		turn := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return s.Turn(ctx)
		}
		if err := turn(); err != nil {
			t.Error(err)
		}
		disk.set(nil, errFull)
		if err := turn(); err != nil {
			t.Error(err)
		}
		hold := make(chan struct{})
		disk.set(hold, nil)
		s.Begin(t.Context(), now("m"), func(error) {})
		synctest.Wait()
		if err := turn(); fettle.KindOf(err) != fettle.Unavailable {
			t.Errorf("%v while a commit hangs", err)
		}
		close(hold)
		synctest.Wait()
		if err := turn(); err != nil {
			t.Error(err)
		}
		if n := s.Stats().Messages; n != 1 {
			t.Errorf("%d messages counted", n)
		}
	})
}
