package model

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"fettle"
)

// A Folder is the folder of models, as it was when last looked at. Its methods
// may be called from several goroutines at once.
type Folder struct {
	dir     string
	now     func() time.Time
	changed func([]fettle.Model)
	log     *slog.Logger
	pace    pace
	opened  bool // from then on arrivals are written down: what Open finds the rule can find again

	changing sync.Mutex // held while versions or decisions change, from the look at the disk to the call of changed

	mu      sync.RWMutex // guards what follows
	entries map[string]entry
	shelves map[string]*shelf // of every machine that has versions; "" aside
	books   map[string]string // machine -> what its decisions look like from outside
}

// An entry is one folder in the folder of models.
type entry struct {
	fingerprint string
	version     Version
	err         error // why it cannot be used
	outlined    bool  // its weights are still to be compared with their hash
}

// An Unusable is a folder, or a file of decisions, that cannot be used.
type Unusable struct {
	Name   string `json:"name" doc:"Name of the folder or file"`
	Reason string `json:"reason"`
}

// Open looks at the folder of models, and makes it if it is not there. now
// gives the stamps of published versions. changed, if not nil, is called after
// every later change with the versions that are new or not what they were; a
// version that went is only missing from List. It is called while the change
// holds up other changes, so it must not itself publish, import or remove.
func Open(dir string, now func() time.Time, changed func([]fettle.Model), log *slog.Logger) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder of models: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open folder of models: %w", err)
	}
	f := &Folder{
		dir: dir, now: now, log: log, pace: usualPace(),
		entries: map[string]entry{}, shelves: map[string]*shelf{}, books: map[string]string{},
	}
	f.sweep()
	if err := f.scan(); err != nil {
		return nil, fmt.Errorf("open folder of models: %w", err)
	}
	f.changed, f.opened = changed, true
	return f, nil
}

// List returns the usable versions of all machines, sorted by machine, then
// oldest first.
func (f *Folder) List() []fettle.Model {
	f.mu.RLock()
	defer f.mu.RUnlock()
	models := []fettle.Model{}
	for _, machine := range slices.Sorted(maps.Keys(f.shelves)) {
		for _, v := range f.shelves[machine].versions {
			models = append(models, v.Model)
		}
	}
	return models
}

// Versions returns a machine's usable versions, oldest first.
func (f *Folder) Versions(machine string) []Version {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if s := f.shelves[machine]; s != nil {
		return slices.Clone(s.versions)
	}
	return nil
}

// Champion returns the version that serves a machine's forecaster.
func (f *Folder) Champion(machine, forecaster string) (Version, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.shelves[machine].champion(forecaster)
}

// Waiting returns the challenger that is forecast in the shadow of a
// forecaster's champion.
func (f *Folder) Waiting(machine, forecaster string) (Version, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := f.shelves[machine]
	if s == nil {
		return Version{}, false
	}
	i, found := s.waiting[forecaster]
	if !found {
		return Version{}, false
	}
	return s.versions[i], true
}

// Get returns the usable version of that name.
func (f *Folder) Get(name string) (Version, bool) {
	machine, _, _ := parseName(name)
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.shelves[machine].get(name)
}

// History returns what was decided about a machine's versions, oldest first,
// the last hundred decisions.
func (f *Folder) History(machine string) []Decided {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if s := f.shelves[machine]; s != nil {
		return slices.Clone(s.book.History)
	}
	return nil
}

// Problems lists the folders and decisions that cannot be used, sorted by name.
func (f *Folder) Problems() []Unusable {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var problems []Unusable
	for name, e := range f.entries {
		if e.err != nil {
			problems = append(problems, Unusable{name, e.err.Error()})
		}
	}
	for machine, s := range f.shelves {
		if s.trouble != "" {
			problems = append(problems, Unusable{bookName(machine), s.trouble})
		}
	}
	slices.SortFunc(problems, func(a, b Unusable) int { return cmp.Compare(a.Name, b.Name) })
	return problems
}

// scan looks at the whole folder and takes in what has changed.
func (f *Folder) scan() error {
	f.changing.Lock()
	defer f.changing.Unlock()
	listing, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // what is known stays: it may be a passing trouble
	}
	c := changes{folders: map[string]*entry{}}
	there := make(map[string]bool, len(listing))
	for _, listed := range listing {
		name := listed.Name()
		if machine, ok := machineOfBook(name); ok {
			there[name] = true
			f.lookAtBook(&c, machine)
		}
		if strings.HasPrefix(name, ".") || listed.Type().IsRegular() {
			continue // being written, a scaler, or something of no concern
		}
		there[name] = true
		f.lookAt(&c, name)
	}
	for name := range f.entries {
		if !there[name] {
			c.folders[name] = nil
		}
	}
	for machine := range f.books {
		if !there[bookName(machine)] {
			f.lookAtBook(&c, machine)
		}
	}
	f.apply(c)
	return err
}

// rescan looks at the entries of these names only, of folders and of decisions.
func (f *Folder) rescan(names map[string]bool) {
	f.changing.Lock()
	defer f.changing.Unlock()
	c := changes{folders: map[string]*entry{}}
	for name := range names {
		if machine, ok := machineOfBook(name); ok {
			f.lookAtBook(&c, machine)
			continue
		}
		if rest, ok := strings.CutPrefix(name, "scaler_"); ok {
			name = namePrefix + strings.TrimSuffix(rest, ".pkl")
		}
		info, err := os.Lstat(filepath.Join(f.dir, name))
		switch _, known := f.entries[name]; {
		case err == nil && !info.Mode().IsRegular():
			f.lookAt(&c, name)
		case known:
			c.folders[name] = nil
		}
	}
	f.apply(c)
}

// lookAt notes a folder that is not what it was. f.changing is held.
func (f *Folder) lookAt(c *changes, name string) {
	known, seen := f.entries[name]
	e := f.look(name)
	if !seen || known.fingerprint != e.fingerprint || !sameText(known.err, e.err) {
		c.folders[name] = &e
	}
}

// lookAtBook notes a machine whose decisions are not what they were.
// f.changing is held.
func (f *Folder) lookAtBook(c *changes, machine string) {
	if f.bookPrint(machine) != f.books[machine] {
		c.machines = append(c.machines, machine)
	}
}

func sameText(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

// look reads one folder, unless it could be used and looks as it did then.
// f.changing is held.
func (f *Folder) look(name string) entry {
	path, beside := filepath.Join(f.dir, name), filepath.Join(f.dir, scalerBeside(name))
	known, seen := f.entries[name] // only changed under f.changing
	// The look from outside comes first: should a file change meanwhile, the
	// next look finds a difference.
	fingerprint := fingerprintOf(path, beside)
	if seen && known.fingerprint == fingerprint && known.err == nil {
		return known
	}
	e := entry{fingerprint: fingerprint}
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		e.err = err
	case !info.IsDir():
		e.err = fettle.Errorf(fettle.Invalid, "%s is no folder; a symbolic link is not followed: copy the folder itself", name)
	default:
		how := whole
		if !f.opened { // thousands of models are not all read before the server is ready
			how, e.outlined = outlined, true
		}
		e.version, e.err = readVersion(path, name, beside, how)
		e.version.Fingerprint = fingerprint
	}
	return e
}

// present tells whether there is a folder of that name. f.changing is held.
func (f *Folder) present(name string) bool {
	_, there := f.entries[name]
	return there
}
