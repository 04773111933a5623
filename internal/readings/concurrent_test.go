package readings

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"fettle"
)

// Readers beside a writer that brings new sensors and tags with every call see
// whole rows, and never fewer than before.
func TestReadWhileAppending(t *testing.T) {
	s := openStore(t)
	appendAll(t, s, "m 0 s0=0")
	finished := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			seen := 0
			for {
				select {
				case <-finished:
					return
				default:
				}
				seen = checkOnce(t, s, seen)
			}
		})
	}
	for i := 1; i < 200; i++ {
		appendAll(t, s, fmt.Sprintf("m %d s%d=%d #k=%d", i, i, i, i), fmt.Sprintf("m -%d s%d=%d", i, i, i))
	}
	close(finished)
	readers.Wait()
	if n := checkOnce(t, s, 0); n != 399 {
		t.Errorf("%d rows, expected 399", n)
	}
}

// checkOnce reads in every way and returns how many rows there are.
func checkOnce(t *testing.T, s *Store, seen int) (rows int) {
	if err := s.Range("m", time.Time{}, time.Time{}, func(r fettle.Reading) error {
		rows++
		if len(r.Values) != 1 {
			t.Errorf("row %s is not whole", write(r))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if rows < seen {
		t.Errorf("%d rows, there were %d", rows, seen)
	}
	// A call's two rows are visible a moment before they are counted, and a
	// window is no longer than the count.
	w, err := s.Window("m", time.Time{}, 1000, nil)
	if err != nil || w.Rows() < rows-2 {
		t.Errorf("window of %d rows, %v; expected %d", w.Rows(), err, rows)
	}
	if info, _ := s.Info("m"); len(s.Latest("m")) < len(info.Sensors) {
		t.Errorf("fewer newest values than sensors %v", info.Sensors)
	}
	return rows
}
