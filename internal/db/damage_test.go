package db

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle"
)

// A crashed store as a kill leaves it: tables, logs and what lists them.
func crashed(t *testing.T) (dir string, records int) {
	t.Helper()
	live := filepath.Join(t.TempDir(), "store")
	d, err := Open(live, Options{MemTableBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for records = range 3000 {
		if err := put(d, fmt.Sprintf("k%06d", records), strings.Repeat("x", 300), []Durability{Synced, Lazy, Lazy, Lazy, Lazy, Lazy, Lazy, Lazy}[records%8]); err != nil {
			t.Fatal(err)
		}
	}
	d.reach.next = time.Time{} // as if some seconds had gone by
	mustPut(t, d, "z=the last, synced")
	dir = filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	return dir, records + 2
}

// harms are what can happen to a file.
var harms = map[string]func(name string, content []byte) error{
	"is gone":    func(name string, _ []byte) error { return os.Remove(name) },
	"is empty":   func(name string, _ []byte) error { return os.WriteFile(name, nil, 0o600) },
	"is cut off": func(name string, content []byte) error { return os.WriteFile(name, content[:len(content)/2], 0o600) },
	"has a byte changed": func(name string, content []byte) error {
		if len(content) > 0 {
			content[len(content)/2] ^= 0x55
		}
		return os.WriteFile(name, content, 0o600)
	},
}

// Whatever happens to whichever file: either everything is there, or the store
// says what is wrong and what to do, when it is opened or when the place is
// read. Nothing hangs, and nothing is lost in silence.
func TestDamagedFiles(t *testing.T) {
	from, records := crashed(t)
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for harm, do := range harms {
			t.Run(file.Name()+" "+harm, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "store")
				if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
					t.Fatal(err)
				}
				name := filepath.Join(dir, file.Name())
				content, err := os.ReadFile(name)
				if err == nil {
					err = do(name, content)
				}
				if err != nil {
					t.Fatal(err)
				}
				wantNoSilence(t, dir, file.Name(), records)
			})
		}
	}
}

func wantNoSilence(t *testing.T, dir, file string, records int) {
	t.Helper()
	var log strings.Builder
	d, err := Open(dir, Options{MemTableBytes: 256 << 10, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		for _, part := range []string{dir, "fettle"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error does not say %q: %v", part, err)
			}
		}
		for _, part := range []string{"panic", "goroutine", "pebble:", "objstorage"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("the error says %q: %v", part, err)
			}
		}
		return
	}
	defer d.Close()
	found := 0
	err = d.Ascend(nil, nil, func(_, _ []byte) error { found++; return nil })
	if err == nil && found == records {
		return
	}
	if damage := d.Damage(); damage == nil || !strings.Contains(damage.Error(), "fettle restore") || !strings.Contains(log.String(), "lost") {
		t.Errorf("%d records of %d (%v), and the store says %v, its log %s", found, records, err, damage, log.String())
	}
	if err != nil {
		wantKind(t, err, fettle.Internal, "damaged", "fettle restore")
	}
	// It serves on, though what it would tidy up cannot be read.
	for i := range 2000 {
		if err := put(d, fmt.Sprintf("l%06d", i), strings.Repeat("y", 300), Lazy); err != nil {
			t.Fatal(err)
		}
	}
	mustPut(t, d, "y=written all the same")
	if _, found, err := d.Get([]byte("y")); !found || err != nil {
		t.Errorf("Get: %v, %v", found, err)
	}
	if n := strings.Count(log.String(), "\n"); n > 20 {
		t.Errorf("the log has %d lines:\n%.3000s", n, log.String())
	}
}

// What a list of options says does not matter, and less that it is cut off.
func TestOptionsCutOff(t *testing.T) {
	dir, records := crashed(t)
	names, err := filepath.Glob(filepath.Join(dir, "OPTIONS-*"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	content, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(content); n += 149 {
		there := filepath.Join(t.TempDir(), "store")
		if err := os.CopyFS(there, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(there, filepath.Base(names[0])), content[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		d := mustOpen(t, there)
		if got := len(list(t, d)); got != records {
			t.Errorf("%d bytes of the options: %d records, expected %d", n, got, records)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A store that was closed, killed or lost its power has lost nothing.
func TestNoFalseAlarm(t *testing.T) {
	disk := NewMemoryDisk()
	for round := range 10 {
		d := disk.mustOpen(t)
		if err := d.Damage(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for i := range 100 {
			if err := put(d, fmt.Sprint(round, i), strings.Repeat("x", 5000), []Durability{Lazy, Synced}[i%2]); err != nil {
				t.Fatal(err)
			}
			if i%25 == 0 {
				d.reach.next = time.Time{} // as if some seconds had gone by
			}
		}
		after := disk
		if round%2 == 0 {
			after = disk.PowerCut()
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		disk = after
	}
}
