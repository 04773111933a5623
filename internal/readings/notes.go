package readings

import (
	"fmt"
	"math/rand/v2"
	"time"

	"fettle/internal/db"
)

// Whoever copies readings elsewhere follows each machine's time with a cursor,
// and would miss what is stored behind it: late rows, and rows that a second
// message adds to. The store notes those, in the same commit that stores them,
// while NoteLate asks for it.

// A LateRow names a row that was stored at or behind its machine's watermark.
type LateRow struct {
	Machine string
	Time    time.Time
	mark    uint64 // of the last time it was stored; drawn anew each time
}

// NoteLate has late rows noted from now on, or not any more. Without, the notes
// there are go too.
func (s *Store) NoteLate(on bool) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.noteLate = on
	if on {
		return nil
	}
	found := false
	all := []byte(latePrefix)
	err := s.db.Ascend(all, db.After(all), func(_, _ []byte) error {
		found = true
		return db.Stop
	})
	if err != nil || !found {
		return err
	}
	batch := s.db.NewBatch()
	batch.DeleteRange(all, db.After(all))
	if err := s.db.Commit(batch, db.Lazy); err != nil {
		return fmt.Errorf("forget late rows: %w", err)
	}
	return nil
}

// noteIfLate puts a note of a row into the batch that stores it.
func (s *Store) noteIfLate(batch *db.Batch, c *change, micros int64) {
	if !s.noteLate || c.state.rows == 0 || micros > c.state.last {
		return
	}
	batch.Set(appendMicros(keyOf(nil, latePrefix, c.machine.name), micros), db.AppendUint64(nil, rand.Uint64()))
}

// LateRows returns the first n notes, by machine and time.
func (s *Store) LateRows(n int) ([]LateRow, error) {
	var rows []LateRow
	if n <= 0 {
		return nil, nil
	}
	all := []byte(latePrefix)
	err := s.db.Ascend(all, db.After(all), func(key, value []byte) error {
		name, rest, ok := db.CutString(key[len(latePrefix):])
		at, _, timed := db.CutMicros(rest)
		mark, _, marked := db.CutUint64(value)
		if !ok || !timed || !marked {
			return fmt.Errorf("note %x: %w", key, errDamaged)
		}
		if rows = append(rows, LateRow{Machine: name, Time: at, mark: mark}); len(rows) == n {
			return db.Stop
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read late rows: %w", err)
	}
	return rows, nil
}

// ForgetLate takes notes away, but for those of rows that have been stored again
// since they were read. A crash may bring them back.
func (s *Store) ForgetLate(rows []LateRow) error {
	if len(rows) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	batch := s.db.NewBatch()
	for _, r := range rows {
		key := appendMicros(keyOf(nil, latePrefix, r.Machine), r.Time.UnixMicro())
		value, found, err := s.db.Get(key)
		if err != nil {
			return fmt.Errorf("forget late rows: %w", err)
		}
		if mark, _, _ := db.CutUint64(value); found && mark == r.mark {
			batch.Delete(key)
		}
	}
	if err := s.db.Commit(batch, db.Lazy); err != nil {
		return fmt.Errorf("forget late rows: %w", err)
	}
	return nil
}
