package backup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/readings"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newSource is a data folder with readings of three days, two of them closed,
// and a model.
func newSource(t *testing.T) Source {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{})
	check(t, err)
	rows, err := readings.Open(d, dir, nil)
	check(t, err)
	t.Cleanup(func() {
		if r, err := rows.Check(context.Background()); err != nil || len(r.Faults) > 0 {
			t.Errorf("check of the readings found %q, %v", r.Faults, err)
		}
		d.Close()
	})
	s := Source{Readings: rows, Store: "db", Models: filepath.Join(dir, "models"), Dir: dir, Version: "test"}
	for day := range 3 {
		s.append(t, day*1440, 500)
	}
	_, err = rows.SealAll(context.Background())
	check(t, err)
	s.append(t, 700, 1) // late: it lies over a file
	check(t, os.MkdirAll(filepath.Join(s.Models, "model_m_1"), 0o700))
	check(t, os.WriteFile(filepath.Join(s.Models, "model_m_1", "fettle.json"), []byte("{}"), 0o600))
	check(t, os.MkdirAll(filepath.Join(s.Models, ".draft"), 0o700))
	return s
}

func (s Source) append(t *testing.T, minute, n int) {
	t.Helper()
	for i := range n {
		_, err := s.Readings.Append([]fettle.Reading{{Machine: "m", Time: noon.Add(time.Duration(minute+i) * time.Minute), Values: []fettle.Value{{Sensor: "a", Value: float64(i)}}}})
		check(t, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// all writes down every reading of a store.
func all(t *testing.T, s *readings.Store) string {
	t.Helper()
	var text strings.Builder
	for _, info := range s.Machines() {
		fmt.Fprintf(&text, "%+v\n", info)
		check(t, s.Range(info.Machine, time.Time{}, time.Time{}, func(r fettle.Reading) error {
			fmt.Fprintf(&text, "%+v\n", r)
			return nil
		}))
	}
	return text.String()
}

// What is restored elsewhere is what was there when the backup was made, though
// readings came in meanwhile, and later ones change nothing in it.
func TestThereAndBack(t *testing.T) {
	s := newSource(t)
	before := all(t, s.Readings)
	dir := filepath.Join(t.TempDir(), "backup")
	note, err := s.Make(context.Background(), dir, noon)
	check(t, err)
	if len(note.Machines) != 1 || note.Rows() != 1501 || note.Models != 1 {
		t.Errorf("backup holds %+v", note)
	}
	s.append(t, 5000, 10)
	_, err = s.Readings.SealAll(context.Background())
	check(t, err)

	restored := filepath.Join(t.TempDir(), "elsewhere", "data")
	check(t, os.MkdirAll(filepath.Dir(restored), 0o700))
	_, err = Restore(context.Background(), dir, restored, "db")
	check(t, err)
	check(t, within(restored, "db", func(back *readings.Store) error {
		if after := all(t, back); after != before {
			t.Errorf("restored is\n%.300s\nexpected\n%.300s", after, before)
		}
		return nil
	}))
	if _, err := os.Stat(filepath.Join(restored, "models", "model_m_1", "fettle.json")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(restored, "models", ".draft")); err == nil {
		t.Error("a draft came along")
	}
}

func TestBackupBesideAWriter(t *testing.T) {
	s := newSource(t)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 4320; ; n += 300 {
			select {
			case <-stop:
				return
			default:
				s.append(t, n, 3)
				if _, err := s.Readings.SealAll(context.Background()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for i := range 5 {
		dir := filepath.Join(t.TempDir(), fmt.Sprint("backup", i))
		note, err := s.Make(context.Background(), dir, noon)
		check(t, err)
		_, err = Restore(context.Background(), dir, filepath.Join(t.TempDir(), "data"), "db")
		check(t, err)
		if note.Rows() < 1501 {
			t.Errorf("backup holds %d rows", note.Rows())
		}
	}
	close(stop)
	writer.Wait()
}

func TestWhereNot(t *testing.T) {
	s := newSource(t)
	full := t.TempDir()
	check(t, os.WriteFile(filepath.Join(full, "x"), nil, 0o600))
	for _, c := range []struct{ dir, want string }{
		{full, "not empty"},
		{filepath.Join(s.Dir, "backup"), "outside of the data folder"},
		{"relative", "absolute"},
		{filepath.Join(full, "x"), "no folder"},
	} {
		if _, err := s.Make(context.Background(), c.dir, noon); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("back up to %s: %v, expected %q", c.dir, err, c.want)
		}
	}
	if _, err := Restore(context.Background(), full, filepath.Join(t.TempDir(), "data"), "db"); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("restore of no backup: %v", err)
	}
}

// A backup that was changed is not restored.
func TestDamagedBackup(t *testing.T) {
	s := newSource(t)
	dir := filepath.Join(t.TempDir(), "backup")
	_, err := s.Make(context.Background(), dir, noon)
	check(t, err)
	file := filepath.Join(dir, "readings", "machine=m", "2026-03-01.parquet")
	content, err := os.ReadFile(file)
	check(t, err)
	content[100] ^= 1
	check(t, os.Remove(file)) // it is a link to the original
	check(t, os.WriteFile(file, content, 0o600))
	data := filepath.Join(t.TempDir(), "data")
	if _, err := Restore(context.Background(), dir, data, "db"); err == nil || !strings.Contains(err.Error(), "2026-03-01") {
		t.Errorf("restore of a damaged backup: %v", err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("it is there all the same")
	}
}
