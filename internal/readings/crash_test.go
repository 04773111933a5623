package readings

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// writeFolder, if set, makes this binary the writer that TestKill kills.
const writeFolder = "FETTLE_TEST_WRITE_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writeFolder); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// step is from row to row: days pass in no time.
const step = 5 * time.Minute

func rowAt(i int) time.Time { return dayStart.Add(time.Duration(i) * step) }

// message is one of the two that make a row.
func message(i int, sensor string) fettle.Reading {
	return fettle.Reading{Machine: "m", Time: rowAt(i), Values: []fettle.Value{{Sensor: sensor, Value: float64(i)}}}
}

// late is the row that gets its second message when row i gets its first:
// mostly one of a closed day.
func late(i int) int { return max(0, i-i*7919%2000) }

// writeForEver appends rows and late messages, seals, lets go of what is old and
// backs up, all at once, and prints the number of each row once it is on disk.
func writeForEver(dir string) error {
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{MemTableBytes: 256 << 10})
	if err != nil {
		return err
	}
	s, err := Open(d, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	k := NewKeeper(keepForTests, s, slog.New(slog.DiscardHandler))
	go func() { fmt.Fprintln(os.Stderr, k.Run(context.Background())) }()
	go func() {
		for n := 0; ; n++ {
			copied := filepath.Join(dir, fmt.Sprintf("copy-%d-%d", os.Getpid(), n))
			if err := s.Copy(context.Background(), copied, filepath.Join(copied, "db")); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			if err := os.RemoveAll(copied); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}()
	return writeRows(s, func(i int) { fmt.Println(i) })
}

// keepForTests keeps 20 days.
var keepForTests = KeepConfig{Grace: time.Minute, Spread: time.Minute, Every: 5 * time.Millisecond, Retention: Retention{
	Default: Ages{Raw: 20 * 24 * time.Hour, Minute: 25 * 24 * time.Hour, Hour: 30 * 24 * time.Hour},
}}

func writeRows(s *Store, acknowledged func(i int)) error {
	first := 0
	if info, found := s.Info("m"); found {
		first = int(info.Last.Sub(dayStart)/step) + 1
	}
	for i := first; ; i++ {
		if _, err := s.Append([]fettle.Reading{message(i, "a"), message(late(i), "late")}); err != nil {
			return err
		}
		acknowledged(i)
	}
}

// wantRowsUpTo wants every row up to the last that was acknowledged, once and
// with both its messages, unless it is of before what is kept.
func wantRowsUpTo(t *testing.T, s *Store, last int) {
	t.Helper()
	m, found := s.machine("m")
	if !found {
		if last >= 0 {
			t.Fatalf("%d rows were acknowledged, and there are none", last+1)
		}
		return
	}
	floor := m.state.Load().floor[Raw]
	lates := map[int]bool{}
	for i := range last + 1 {
		lates[late(i)] = true
	}
	next := -1
	rows := 0
	if err := s.Range("m", time.Time{}, time.Time{}, func(r fettle.Reading) error {
		i := int(r.Time.Sub(dayStart) / step)
		rows++
		if next >= 0 && i != next {
			return fmt.Errorf("row %d follows, expected %d", i, next)
		}
		if next < 0 && i > 0 && r.Time.UnixMicro() > floor+step.Microseconds() {
			return fmt.Errorf("rows begin with %d, but are kept from %v on", i, fromMicros(floor))
		}
		next = i + 1
		a, saidA := r.Value("a")
		l, saidLate := r.Value("late")
		if !saidA || a != float64(i) || lates[i] && !saidLate || saidLate && l != float64(i) {
			return fmt.Errorf("row %d is %+v", i, r)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if next <= last {
		t.Fatalf("rows end with %d, %d was acknowledged", next-1, last)
	}
	if info, _ := s.Info("m"); info.Rows != int64(rows) {
		t.Errorf("%d rows are noted, there are %d", info.Rows, rows)
	}
	if s.Files().Lost > 0 {
		t.Errorf("%d days were lost", s.Files().Lost)
	}
	mustBeSound(t, s)
}

// rounds is how often a test is to crash: a few, or as many as make torture says.
func rounds(t *testing.T, few int) int {
	if text := os.Getenv("FETTLE_TORTURE_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return few
}

// Whatever moment a writer is killed at, sealing, sealing anew, letting go of
// what is old and backing up, every row that it was told is on disk is there
// once.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for range rounds(t, 10) {
		acknowledged := killed(t, dir)
		d, err := db.Open(filepath.Join(dir, "db"), db.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(d, dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
		if err != nil {
			t.Fatal(err)
		}
		wantRowsUpTo(t, s, acknowledged)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever moment the power is cut at, what was not synced being gone, every
// row that was acknowledged is there once.
func TestPowerCut(t *testing.T) {
	const dir = "/data"
	disk := db.NewMemoryDisk()
	last := -1
	for range rounds(t, 10) {
		d, err := disk.Open(dir+"/db", db.Options{MemTableBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(d, dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
		if err != nil {
			t.Fatal(err)
		}
		wantRowsUpTo(t, s, last)
		disk, last = powerCut(t, disk, d, s)
	}
}

// powerCut writes, seals and lets go of what is old until some moment, and
// returns the disk as it is then, and the last row that was acknowledged before.
func powerCut(t *testing.T, disk db.MemoryDisk, d *db.DB, s *Store) (after db.MemoryDisk, last int) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	k := NewKeeper(keepForTests, s, slog.New(slog.DiscardHandler))
	parts.Go(func() { _ = k.Run(ctx) })
	var acknowledged atomic.Int64
	acknowledged.Store(-1)
	enough := make(chan struct{})
	goal := 300 + rand.IntN(2000)
	parts.Go(func() {
		n := 0
		_ = writeRows(s, func(i int) { // until the store is closed
			acknowledged.Store(int64(i))
			if n++; n == goal {
				close(enough)
			}
		})
	})
	<-enough
	last = int(acknowledged.Load())
	after = disk.PowerCut()
	stop()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	parts.Wait()
	return after, last
}

// killed runs a writer until some rows are acknowledged, kills it, and returns
// the last that was.
func killed(t *testing.T, dir string) (acknowledged int) {
	t.Helper()
	writer := exec.Command(os.Args[0])
	acknowledged = -1
	writer.Env = append(os.Environ(), writeFolder+"="+dir)
	var trouble strings.Builder
	writer.Stderr = &trouble
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	goal := 100 + rand.IntN(3000)
	for n := 0; lines.Scan(); n++ {
		if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
			t.Fatal(err)
		}
		if n == goal {
			if err := writer.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = writer.Wait() // killed
	if trouble.Len() > 0 {
		t.Fatal(trouble.String())
	}
	return acknowledged
}
