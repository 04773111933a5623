package db

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guard is the file system beneath Pebble. It sees to it that a write into the
// store's folder succeeds or does not return at all: Pebble answers a failed
// write to its log by ending the process, or by a panic that, unwinding, opens
// a mutex twice, which no recover can stop.
//
//	no room      try again until there is room      the caller waits
//	other error  mark the store as failed           the goroutine is parked until the process ends
//
// A failed sync is always an "other error", full disk or not: the kernel may
// have dropped the pages, and a second sync would then succeed without them.
// Reads, removals, and files outside the folder (checkpoints) pass unchanged,
// and so does most of what comes before watch: opening a store may fail like
// any call. Only a full disk ends the opening at once, because Pebble, which
// flushes its log then, would try again for ever and as fast as it can.
type guard struct {
	vfs.FS
	dir    string
	health *health

	watching  atomic.Bool
	waiting   atomic.Int32  // writes that wait for room
	closing   chan struct{} // closed: wait for room no longer
	closeOnce sync.Once
}

// retryAfter is how long a write waits before it looks for room again.
const retryAfter = 200 * time.Millisecond

func newGuard(disk vfs.FS, dir string, h *health) *guard {
	return &guard{FS: disk, dir: dir, health: h, closing: make(chan struct{})}
}

func (g *guard) watch() { g.watching.Store(true) }

func (g *guard) close() { g.closeOnce.Do(func() { close(g.closing) }) }

// free tells how many bytes the disk still has for us, if the system says so.
func (g *guard) free() (bytes int64, known bool) {
	usage, err := g.GetDiskUsage(g.dir)
	return int64(usage.AvailBytes), err == nil
}

// taken sums up the store's files. Pebble's own figure leaves out the log that
// is being written.
func (g *guard) taken() (bytes int64) {
	names, _ := g.List(g.dir)
	for _, name := range names {
		if info, err := g.Stat(g.PathJoin(g.dir, name)); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

func (g *guard) guards(name string) bool { return filepath.Dir(name) == filepath.Clean(g.dir) }

// write runs a write operation under the guard's promise. It returns an error
// only before watch.
func (g *guard) write(what string, op func() error) error {
	err := op()
	opening := !g.watching.Load()
	switch {
	case err == nil:
		return nil
	case opening && !noRoom(err):
		return err
	case !opening && noRoom(err):
		err = g.waitForRoom(what, op, err)
	}
	if err != nil {
		g.breakOff(what, err)
	}
	return nil
}

// waitForRoom tries op again until it succeeds or fails otherwise.
func (g *guard) waitForRoom(what string, op func() error, err error) error {
	if g.waiting.Add(1) == 1 {
		g.health.log.Error("disk is full; waiting for room", "op", what, "err", err)
	}
	defer func() {
		if g.waiting.Add(-1) == 0 && err == nil {
			g.health.log.Info("disk has room again")
		}
	}()
	for noRoom(err) {
		select {
		case <-g.closing:
			return fmt.Errorf("closed while the disk was full: %w", err)
		case <-time.After(retryAfter):
		}
		err = op()
	}
	return err
}

// breakOff marks the store as failed and never returns.
func (g *guard) breakOff(what string, err error) {
	g.health.fail(fmt.Errorf("%s: %w", what, err))
	select {}
}

// noRoom tells whether an operation may succeed later just as it is: the disk
// or a quota is full, or the process has too many files open.
func noRoom(err error) bool {
	return NoSpace(err) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// NoSpace tells whether an error says that the disk or a quota is full, in the
// words of whatever system this is: Windows has others than ENOSPC.
func NoSpace(err error) bool {
	return err != nil && (vfs.IsNoSpaceError(err) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

func (g *guard) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.openForWrite(name, func() (vfs.File, error) { return g.FS.Create(name, c) })
}

func (g *guard) ReuseForWrite(oldName, newName string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.openForWrite(newName, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldName, newName, c) })
}

func (g *guard) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return g.openForWrite(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, o...) })
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	file, err := g.FS.OpenDir(name)
	if err != nil || filepath.Clean(name) != filepath.Clean(g.dir) {
		return file, err
	}
	return &guardedFile{file, g, name}, nil
}

func (g *guard) Rename(oldName, newName string) error {
	rename := func() error { return g.FS.Rename(oldName, newName) }
	if !g.guards(newName) {
		return rename()
	}
	return g.write("rename to "+newName, rename)
}

// Unwrap is for Pebble's vfs.Root.
func (g *guard) Unwrap() vfs.FS { return g.FS }

func (g *guard) openForWrite(name string, open func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	attempt := func() (err error) {
		file, err = open()
		return err
	}
	var err error
	if g.guards(name) {
		err = g.write("create "+name, attempt)
	} else {
		err = attempt()
	}
	if err != nil || !g.guards(name) {
		return file, err
	}
	return &guardedFile{file, g, name}, nil
}

// guardedFile is a file of the store's folder.
type guardedFile struct {
	vfs.File
	guard *guard
	name  string
}

func (f *guardedFile) Write(p []byte) (n int, err error) {
	err = f.guard.write("write "+f.name, func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return n, err
}

func (f *guardedFile) WriteAt(p []byte, offset int64) (n int, err error) {
	err = f.guard.write("write "+f.name, func() error {
		m, err := f.File.WriteAt(p[n:], offset+int64(n))
		n += m
		return err
	})
	return n, err
}

func (f *guardedFile) Sync() error     { return f.synced(f.File.Sync()) }
func (f *guardedFile) SyncData() error { return f.synced(f.File.SyncData()) }

func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	full, err = f.File.SyncTo(length)
	return full, f.synced(err)
}

func (f *guardedFile) synced(err error) error {
	if err != nil && (f.guard.watching.Load() || noRoom(err)) {
		f.guard.breakOff("sync "+f.name, err)
	}
	return err
}
