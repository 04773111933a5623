package train

import (
	"bufio"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"fettle"
)

// A desk knows the keys by which workers elsewhere get their readings and tell
// their progress. Each is for one run only; what is kept is its hash.
type desk struct {
	mu   sync.Mutex
	keys map[uint64]deskKeys
}

type deskKeys struct {
	inForce string   // hexadecimal SHA-256; "" if none is
	retired []string // of workers that have been given up
}

func newDesk() *desk { return &desk{keys: map[uint64]deskKeys{}} }

// newKey makes a key, and its hash to keep.
func newKey() (key, sum string) {
	key = rand.Text() + rand.Text()
	return key, sumOf([]byte(key))
}

// admit lets an errand's keys in, and no others of its run.
func (d *desk) admit(id uint64, e errand) {
	k := deskKeys{retired: slices.Clone(e.Keys)}
	if last := len(e.Keys) - 1; e.Operation != "" && last >= 0 {
		k = deskKeys{e.Keys[last], k.retired[:last]}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys[id] = k
}

// restore lets in the keys that a run's folder tells of.
func (d *desk) restore(id uint64, dir string) {
	if e, err := readErrand(dir); err == nil { // else the run itself will fail of it
		d.admit(id, e)
	}
}

// forget ends the keys of a run.
func (d *desk) forget(id uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.keys, id)
}

// ErrUnwanted is why a training ends whose run was cancelled, or is done by
// another worker, or is not known any more.
var ErrUnwanted = errors.New("the run is not wanted any more")

// check refuses who does not hold the key of a run.
func (d *desk) check(id uint64, key string) error {
	sum := []byte(sumOf([]byte(key)))
	same := func(kept string) bool { return subtle.ConstantTimeCompare(sum, []byte(kept)) == 1 }
	d.mu.Lock()
	defer d.mu.Unlock()
	switch k, known := d.keys[id]; {
	case !known, slices.ContainsFunc(k.retired, same):
		return fmt.Errorf("run %d: %w", id, ErrUnwanted)
	case !same(k.inForce):
		return fettle.Errorf(fettle.Forbidden, "this key is not that of run %d", id)
	default:
		return nil
	}
}

// checkWorker lets the worker of a run in, as long as its work is wanted.
func (m *Manager) checkWorker(id uint64, key string) error {
	if err := m.cluster.desk.check(id, key); err != nil {
		return err
	}
	t, err := m.Get(id)
	if err != nil || t.State.Over() || t.State == fettle.TrainingPaused {
		return fmt.Errorf("run %d: %w", id, ErrUnwanted)
	}
	return nil
}

// JobRows are the packed readings of a run, for the worker that shows its key:
// anything else is Forbidden, or ErrUnwanted. Who calls closes them.
func (m *Manager) JobRows(id uint64, key string) (io.ReadCloser, error) {
	if err := m.checkWorker(id, key); err != nil {
		return nil, err
	}
	return openRows(filepath.Join(m.folder(id), jobFile))
}

// JobProgress takes what a run's worker tells, if it shows the run's key.
func (m *Manager) JobProgress(id uint64, key string, p Progress) error {
	if err := m.checkWorker(id, key); err != nil {
		return err
	}
	if p.Version != wireVersion || p.ID != fmt.Sprint(id) {
		return fettle.BadField("bad progress", "id", p.ID, fmt.Sprintf("%d, and version %d", id, wireVersion))
	}
	m.progress(id, p.TrainingProgress)
	return nil
}

// openRows opens the readings in a job's file.
func openRows(path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the job's readings: %w", err)
	}
	in := bufio.NewReaderSize(file, 64<<10)
	_, inline, err := readHead(in)
	if err == nil && !inline {
		err = fmt.Errorf("BUG: %s holds no readings", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return packedRows{base64.NewDecoder(base64.StdEncoding, &text{in: in}), file}, nil
}

// packedRows are readings that are decoded as they are read.
type packedRows struct {
	io.Reader
	io.Closer
}
