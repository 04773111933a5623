package db

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fettle"
)

func mustOpen(t *testing.T, dir string) *DB {
	t.Helper()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// put commits key=value.
func put(d *DB, key, value string, durability Durability) error {
	b := d.NewBatch()
	b.Set([]byte(key), []byte(value))
	return d.Commit(b, durability)
}

func mustPut(t *testing.T, d *DB, pairs ...string) {
	t.Helper()
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		if err := put(d, key, value, Synced); err != nil {
			t.Fatal(err)
		}
	}
}

// list returns "key=value" of every record in order.
func list(t *testing.T, d *DB) []string {
	t.Helper()
	var all []string
	if err := d.Ascend(nil, nil, func(key, value []byte) error {
		all = append(all, string(key)+"="+string(value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func wantList(t *testing.T, d *DB, want ...string) {
	t.Helper()
	if got := list(t, d); !slices.Equal(got, want) {
		t.Errorf("records are %q, expected %q", got, want)
	}
}

func wantKind(t *testing.T, err error, kind fettle.Kind, parts ...string) {
	t.Helper()
	if err == nil || fettle.KindOf(err) != kind {
		t.Fatalf("error is %v (kind %d), expected kind %d", err, fettle.KindOf(err), kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestRecords(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	mustPut(t, d, "a=1", "b=2", "c=3", "d=4", "b=5")
	wantList(t, d, "a=1", "b=5", "c=3", "d=4")

	b := d.NewBatch()
	b.Delete([]byte("a"))
	b.DeleteRange([]byte("c"), []byte("d"))
	if b.Len() != 2 {
		t.Errorf("Len is %d, expected 2", b.Len())
	}
	if err := d.Commit(b, Lazy); err != nil {
		t.Fatal(err)
	}
	wantList(t, d, "b=5", "d=4")

	if value, found, err := d.Get([]byte("b")); string(value) != "5" || !found || err != nil {
		t.Errorf("Get(b) is %q, %v, %v", value, found, err)
	}
	if _, found, err := d.Get([]byte("a")); found || err != nil {
		t.Errorf("Get(a) is %v, %v, expected not found", found, err)
	}
}

func TestScan(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	mustPut(t, d, "a=1", "b=2", "c=3", "d=4")
	bad := errors.New("bad")
	scan := func(way func(from, to []byte, yield func(k, v []byte) error) error, from, to string, endAt string, end error) string {
		var keys []byte
		err := way([]byte(from), []byte(to), func(k, _ []byte) error {
			keys = append(keys, k...)
			if string(k) == endAt {
				return end
			}
			return nil
		})
		return fmt.Sprintf("%s %v", keys, err)
	}
	for _, c := range []struct{ got, want string }{
		{scan(d.Ascend, "b", "d", "", nil), "bc <nil>"},
		{scan(d.Descend, "b", "d", "", nil), "cb <nil>"},
		{scan(d.Ascend, "a", "z", "c", Stop), "abc <nil>"},
		{scan(d.Descend, "a", "z", "c", Stop), "dc <nil>"},
		{scan(d.Ascend, "a", "z", "b", bad), "ab bad"},
		{scan(d.Ascend, "x", "z", "", nil), " <nil>"},
	} {
		if c.got != c.want {
			t.Errorf("scan gave %q, expected %q", c.got, c.want)
		}
	}
}

// A scan sees the store as it was, while others and its own yield change it.
func TestScanIsASnapshot(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	mustPut(t, d, "a=1", "b=2")
	var seen []string
	if err := d.Ascend(nil, nil, func(k, _ []byte) error {
		seen = append(seen, string(k))
		return put(d, "c"+string(k), "new", Lazy)
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, []string{"a", "b"}) {
		t.Errorf("scan saw %q, expected a and b", seen)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	d := mustOpen(t, dir)
	mustPut(t, d, "a=1", "b=2")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	wantKind(t, put(d, "c", "3", Synced), fettle.Unavailable, "closed")
	_, _, err := d.Get([]byte("a"))
	wantKind(t, err, fettle.Unavailable, "closed")
	wantKind(t, d.Ascend(nil, nil, nil), fettle.Unavailable, "closed")
	wantKind(t, d.Trouble(), fettle.Unavailable, "closed")

	wantList(t, mustOpen(t, dir), "a=1", "b=2")
}

// Synced commits of many writers at once survive a power cut.
func TestPowerCut(t *testing.T) {
	disk := vfs.NewCrashableMem()
	d, err := open("store", Options{}, disk)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var writers sync.WaitGroup
	for i := range 50 {
		writers.Go(func() {
			for j := range 20 {
				if err := put(d, fmt.Sprintf("%02d-%02d", i, j), strings.Repeat("x", 1000), Synced); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	after, err := open("store", Options{}, disk.CrashClone(vfs.CrashCloneCfg{}))
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if n := len(list(t, after)); n != 1000 {
		t.Errorf("%d records survived, expected 1000", n)
	}
}

func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, dir + "/.", link} {
		if held, err := Held(name); !held || err != nil {
			t.Errorf("held: %v, %v", held, err)
		}
		_, err := Open(name, Options{})
		wantKind(t, err, fettle.Conflict, "in use by another fettle", dir)
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		line  string
		parts []string
	}{
		{"fettle store format 7\n", []string{"format 7", "up to format 2"}},
		{"fettle store format 0\n", []string{"no store of fettle"}},
		{"SQLite format 3", []string{"no store of fettle", "SQLite"}},
	} {
		dir := t.TempDir()
		d := mustOpen(t, dir)
		mustPut(t, d, "a=1")
		d.Close()
		if err := os.WriteFile(filepath.Join(dir, formatFile), []byte(c.line), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, Options{})
		wantKind(t, err, fettle.Conflict, append(c.parts, dir)...)
	}
}

// A snapshot stays as it was, in all its stretches.
func TestSnapshot(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	mustPut(t, d, "a=1", "b=2")
	s, err := d.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustPut(t, d, "a=3", "c=4")
	var keys []byte
	collect := func(k, v []byte) error { keys = append(append(keys, k...), v...); return nil }
	err = errors.Join(s.Ascend(nil, nil, collect), s.Descend(nil, nil, collect))
	if string(keys) != "a1b2b2a1" || err != nil {
		t.Errorf("snapshot holds %q, %v", keys, err)
	}
	if value, found, err := s.Get([]byte("a")); string(value) != "1" || !found || err != nil {
		t.Errorf("Get(a) is %q, %v, %v", value, found, err)
	}
}

func TestForeignPebbleFolder(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir).Close()
	if err := os.Remove(filepath.Join(dir, formatFile)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	wantKind(t, err, fettle.Conflict, "no store of fettle")
}

// Damage is an error that names the folder, and lets go of it.
func TestDamagedFolder(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir).Close()
	manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	hidden := manifests[0] + ".hidden"
	if err := os.Rename(manifests[0], hidden); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, Options{})
	wantKind(t, err, fettle.Unavailable, dir)
	if err := os.Rename(hidden, manifests[0]); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir)
}

func TestCheckpoint(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	mustPut(t, d, "a=1")
	if err := put(d, "b", "2", Lazy); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := d.Checkpoint(copied); err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, "c=3")
	wantList(t, mustOpen(t, copied), "a=1", "b=2")
	wantKind(t, d.Checkpoint(copied), fettle.Unavailable, copied)
	mustPut(t, d, "d=4") // a failed copy does not touch the store
}

func TestStats(t *testing.T) {
	d := mustOpen(t, t.TempDir())
	mustPut(t, d, "a="+strings.Repeat("x", 10_000))
	if s := d.Stats(); s.DiskBytes < 10_000 || s.FreeBytes <= 0 || d.Trouble() != nil {
		t.Errorf("Stats are %+v", s)
	}
}
