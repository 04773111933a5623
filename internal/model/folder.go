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
	"reflect"
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

	changing sync.Mutex // held while the set of versions changes, from the look at the disk to the call of changed

	mu      sync.RWMutex // guards what follows
	entries map[string]entry
	models  []fettle.Model // the usable entries, by machine, then oldest first
}

// An entry is one folder in the folder of models.
type entry struct {
	fingerprint string
	version     Version
	err         error // why it cannot be used
}

// A Problem is a folder that cannot be used.
type Problem struct {
	Name   string `json:"name" doc:"Folder name"`
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
	f := &Folder{dir: dir, now: now, log: log, pace: usualPace()}
	f.sweep()
	if err := f.scan(scanAll); err != nil {
		return nil, fmt.Errorf("open folder of models: %w", err)
	}
	f.changed = changed
	return f, nil
}

// List returns the usable versions, sorted by machine, then oldest first.
func (f *Folder) List() []fettle.Model {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Clone(f.models)
}

// Champion returns the version that serves the machine: its newest PatchTST,
// else its newest ridge regression.
func (f *Folder) Champion(machine string) (Version, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	first, _ := slices.BinarySearchFunc(f.models, machine, func(m fettle.Model, machine string) int { return cmp.Compare(m.Machine, machine) })
	for _, m := range f.models[first:] {
		if m.Machine != machine {
			break
		}
		if m.Champion {
			return f.version(m), true
		}
	}
	return Version{}, false
}

// Get returns the usable version of that name.
func (f *Folder) Get(name string) (Version, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	i := slices.IndexFunc(f.models, func(m fettle.Model) bool { return m.Name == name })
	if i < 0 {
		return Version{}, false
	}
	return f.version(f.models[i]), true
}

// version is the entry of a listed model; f.mu is held.
func (f *Folder) version(m fettle.Model) Version {
	v := f.entries[m.Name].version
	v.Model = m // with its champion's mark
	return v
}

// Problems lists the folders that cannot be used, sorted by name.
func (f *Folder) Problems() []Problem {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(f.entries)) {
		if e := f.entries[name]; e.err != nil {
			problems = append(problems, Problem{name, e.err.Error()})
		}
	}
	return problems
}

// The ways to look at the folder.
const (
	scanAll     = true  // read unusable folders again, whatever they look like
	scanChanged = false // read what looks different from last time
)

// scan looks at the folder and takes in what has changed.
func (f *Folder) scan(all bool) error {
	f.changing.Lock()
	defer f.changing.Unlock()
	listing, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // what is known stays: it may be a passing trouble
	}
	next := map[string]entry{}
	for _, listed := range listing {
		name := listed.Name()
		if strings.HasPrefix(name, ".") || listed.Type().IsRegular() {
			continue // being written, a scaler, or something of no concern
		}
		next[name] = f.look(name, all)
	}
	f.apply(next)
	return err
}

// look reads one folder, unless it looks as it did last time. f.changing is
// held.
func (f *Folder) look(name string, all bool) entry {
	path, beside := filepath.Join(f.dir, name), filepath.Join(f.dir, scalerBeside(name))
	known, seen := f.entries[name] // only changed under f.changing
	// The look from outside comes first: should a file change meanwhile, the
	// next look finds a difference.
	fingerprint := fingerprintOf(path, beside)
	if seen && known.fingerprint == fingerprint && (known.err == nil || !all) {
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
		e.version, e.err = readVersion(path, name, beside)
		e.version.Fingerprint = fingerprint
	}
	return e
}

// refresh looks at one folder again. f.changing is held.
func (f *Folder) refresh(name string) {
	next := maps.Clone(f.entries)
	delete(next, name)
	if exists(filepath.Join(f.dir, name)) {
		next[name] = f.look(name, scanAll)
	}
	f.apply(next)
}

// apply makes the entries the folder's content and tells about the
// differences. f.changing is held.
func (f *Folder) apply(next map[string]entry) {
	models := listOf(next)
	f.mu.Lock()
	before, modelsBefore := f.entries, f.models
	f.entries, f.models = next, models
	f.mu.Unlock()

	for _, name := range slices.Sorted(maps.Keys(next)) {
		e := next[name]
		if e.err != nil && (before[name].err == nil || before[name].err.Error() != e.err.Error()) {
			f.log.Warn("model folder cannot be used", "model", name, "err", e.err)
		}
	}
	old := make(map[string]fettle.Model, len(modelsBefore))
	for _, m := range modelsBefore {
		old[m.Name] = m
	}
	var different []fettle.Model
	for _, m := range models {
		was, known := old[m.Name]
		delete(old, m.Name)
		if !known || !reflect.DeepEqual(was, m) || before[m.Name].fingerprint != next[m.Name].fingerprint {
			different = append(different, m)
		}
	}
	if f.changed != nil && (len(different) > 0 || len(old) > 0) {
		f.changed(different)
	}
}

// listOf lists the usable entries with the champions marked.
func listOf(entries map[string]entry) []fettle.Model {
	models := []fettle.Model{}
	for _, e := range entries {
		if e.err == nil {
			models = append(models, e.version.Model)
		}
	}
	slices.SortFunc(models, func(a, b fettle.Model) int {
		return cmp.Or(cmp.Compare(a.Machine, b.Machine), a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	for i := 0; i < len(models); {
		end, best := i, i
		for ; end < len(models) && models[end].Machine == models[i].Machine; end++ {
			if models[end].Family == PatchTST || models[best].Family != PatchTST {
				best = end
			}
		}
		models[best].Champion = true
		i = end
	}
	return models
}
