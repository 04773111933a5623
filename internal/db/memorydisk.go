package db

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A MemoryDisk is a disk for tests: of what a power cut does, and of one that
// is full, slow or breaks.
type MemoryDisk struct {
	memory *vfs.MemFS
	disk   vfs.FS // memory behind the fault
	fault  *atomic.Pointer[Fault]
}

// A Fault is what is wrong with a MemoryDisk.
type Fault struct {
	Of     string // only files and folders whose paths contain this
	Err    error  // what becomes of writes, but for removals
	AtSync func() // called at each sync, which lasts until it returns
	Free   int64  // what the disk says that it has left, in bytes; 0: 1 TiB
}

// NewMemoryDisk makes an empty one.
func NewMemoryDisk() MemoryDisk { return onMemory(vfs.NewCrashableMem()) }

func onMemory(memory *vfs.MemFS) MemoryDisk {
	m := MemoryDisk{memory: memory, fault: &atomic.Pointer[Fault]{}}
	m.Set(Fault{})
	m.disk = faultyFS{errorfs.Wrap(memory, errorfs.InjectorFunc(func(op errorfs.Op) error { return m.fault.Load().meet(op) })), m.fault}
	return m
}

// Set makes something wrong with the disk from now on; the zero Fault is none.
func (m MemoryDisk) Set(f Fault) { m.fault.Store(&f) }

// Open is Open on this disk.
func (m MemoryDisk) Open(dir string, o Options) (*DB, error) { return open(dir, o, m.disk) }

// PowerCut returns the disk as a power cut at this moment leaves it: what was
// not synced is gone. The store that was open on it goes on on the old disk.
func (m MemoryDisk) PowerCut() MemoryDisk { return onMemory(m.memory.CrashClone(vfs.CrashCloneCfg{})) }

// meet is what an operation on the disk meets.
func (f *Fault) meet(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !strings.Contains(op.Path, f.Of) {
		return nil
	}
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		if f.AtSync != nil {
			f.AtSync()
		}
	case errorfs.OpRemove, errorfs.OpRemoveAll:
		return nil // a full disk lets go of files
	}
	return f.Err
}

// faultyFS says how much room is left.
type faultyFS struct {
	vfs.FS
	fault *atomic.Pointer[Fault]
}

func (d faultyFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	free := d.fault.Load().Free
	if free == 0 {
		free = 1 << 40
	}
	return vfs.DiskUsage{AvailBytes: uint64(free)}, nil
}
