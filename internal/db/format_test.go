package db

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"fettle"
)

// formats makes options of a program that knows formats up to a number. Each of
// its steps notes that it was taken, after fail has had its say.
func formats(up int, fail func(to int) error) Options {
	return Options{steps: func() []step {
		var list []step
		for to := 2; to <= up; to++ {
			list = append(list, step{to: to, says: fmt.Sprintf("news of %d", to), do: func(d *DB) error {
				if err := fail(to); err != nil {
					return err
				}
				b := d.NewBatch()
				b.Set(fmt.Appendf(nil, "step%d", to), []byte("taken"))
				return d.Commit(b, Synced)
			}})
		}
		return list
	}}
}

func never(int) error { return nil }

// older makes a closed store of format 1 with a record in it.
func older(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "db")
	d, err := Open(dir, formats(1, never))
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, "a=1")
	mustClose(t, d)
	return dir
}

func mustClose(t *testing.T, d *DB) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func backupsOf(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(dir + ".*")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestOlderStoreIsTakenOver(t *testing.T) {
	dir := older(t)
	var log strings.Builder
	o := formats(3, never)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	d, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	wantList(t, d, "a=1", "step2=taken", "step3=taken")
	mustClose(t, d)

	backups := backupsOf(t, dir)
	if len(backups) != 1 || !strings.HasPrefix(backups[0], dir+".format1-") {
		t.Fatalf("beside the store are %v", backups)
	}
	for _, want := range []string{"from=1 to=3", `new="news of 2; news of 3"`, "backup=" + backups[0], "store is taken over"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}

	// Once is enough; the program of before can go on with the copy, and only
	// with that.
	if d, err = Open(dir, formats(3, func(int) error { return errors.New("again") })); err != nil {
		t.Fatal(err)
	}
	mustClose(t, d)
	_, err = Open(dir, formats(1, never))
	wantKind(t, err, fettle.Conflict, "format 3", "up to format 1", "use the newer fettle")
	if d, err = Open(backups[0], formats(1, never)); err != nil {
		t.Fatal(err)
	}
	wantList(t, d, "a=1")
	mustClose(t, d)
}

// A takeover that ended half-way, by a crash say, goes on with the next start,
// with one copy, and nothing older gets at the store meanwhile.
func TestTakeoverGoesOn(t *testing.T) {
	dir := older(t)
	_, err := Open(dir, formats(3, func(to int) error {
		if to == 3 {
			return errors.New("lights out")
		}
		return nil
	}))
	wantKind(t, err, fettle.Unavailable, "to format 3", "lights out", "the next start tries again")
	_, err = Open(dir, formats(2, never))
	wantKind(t, err, fettle.Conflict, "format 3")

	var taken []int
	d, err := Open(dir, formats(4, func(to int) error { taken = append(taken, to); return nil }))
	if err != nil {
		t.Fatal(err)
	}
	wantList(t, d, "a=1", "step2=taken", "step3=taken", "step4=taken")
	mustClose(t, d)
	if fmt.Sprint(taken) != "[2 3 4]" {
		t.Errorf("steps %v; those that may be half done come again", taken)
	}
	if _, err := os.Stat(filepath.Join(dir, takeoverFile)); err == nil {
		t.Error("the takeover is over, and still marked")
	}
}

// What a crash leaves of a copy is no copy, and is gone after the next start.
func TestHalfACopyIsNoCopy(t *testing.T) {
	dir := older(t)
	if err := os.MkdirAll(dir+".copying", 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, formats(2, never))
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, d)
	if all := backupsOf(t, dir); len(all) != 1 || !strings.Contains(all[0], ".format1-") {
		t.Errorf("beside the store are %v", all)
	}
}

func TestStoreWithACopyGetsNone(t *testing.T) {
	dir := older(t)
	o := formats(2, never)
	o.HasCopy = true
	d, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, d)
	if all := backupsOf(t, dir); len(all) != 0 {
		t.Errorf("beside the store are %v", all)
	}
}

// Without a copy there is no takeover: the program of before can go on.
func TestStoreThatCannotBeCopiedStaysAsItIs(t *testing.T) {
	dir := older(t)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil { // nothing of a store's
		t.Fatal(err)
	}
	_, err := Open(dir, formats(2, never))
	wantKind(t, err, fettle.Unavailable, "from format 1", "nothing in it has changed", "back it up to")
	if err := os.Remove(filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, formats(1, never))
	if err != nil {
		t.Fatal(err)
	}
	wantList(t, d, "a=1")
	mustClose(t, d)
	if all := backupsOf(t, dir); len(all) != 0 {
		t.Errorf("beside the store are %v", all)
	}
}

// A camera keeps what a power cut would have left of a disk before each change
// of a name on it.
type camera struct {
	vfs.FS
	mem    *vfs.MemFS
	mu     sync.Mutex
	frames []*vfs.MemFS
}

func (c *camera) shoot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, c.mem.CrashClone(vfs.CrashCloneCfg{}))
}

func (c *camera) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	c.shoot()
	return c.FS.Create(name, category)
}

func (c *camera) Rename(from, to string) error { c.shoot(); return c.FS.Rename(from, to) }
func (c *camera) Link(from, to string) error   { c.shoot(); return c.FS.Link(from, to) }
func (c *camera) Remove(name string) error     { c.shoot(); return c.FS.Remove(name) }

// Whenever the power fails in a takeover, the next start brings it to its end,
// and what was there before is in a copy.
func TestPowerCutInATakeover(t *testing.T) {
	mem := vfs.NewCrashableMem()
	d, err := open("/db", formats(1, never), mem)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, "a=1")
	mustClose(t, d)
	film := &camera{FS: mem, mem: mem}
	d, err = open("/db", formats(3, never), film)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, d)
	if len(film.frames) < 10 {
		t.Fatalf("only %d power cuts", len(film.frames))
	}
	for i, frame := range film.frames {
		d, err := open("/db", formats(3, never), frame)
		if err != nil {
			t.Errorf("power cut %d: %v", i, err)
			continue
		}
		wantList(t, d, "a=1", "step2=taken", "step3=taken")
		mustClose(t, d)
		names, err := frame.List("/")
		if err != nil {
			t.Fatal(err)
		}
		copies := slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "db.format1-") })
		if len(copies) == 0 {
			t.Errorf("power cut %d: no copy", i)
			continue
		}
		if d, err = open("/"+copies[0], formats(1, never), frame); err != nil {
			t.Errorf("power cut %d: the copy: %v", i, err)
			continue
		}
		wantList(t, d, "a=1")
		mustClose(t, d)
	}
}
