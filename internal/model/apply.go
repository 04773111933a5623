package model

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"fettle"
)

// changes are what is not as it was in the folder of models.
type changes struct {
	folders  map[string]*entry // nil: it is gone
	machines []string          // whose decisions changed
}

// apply takes changes in, decides about arrivals, and tells about what is
// different. It costs what the machines concerned have, however many others
// there are. f.changing is held.
func (f *Folder) apply(c changes) {
	machines := map[string]bool{}
	for _, machine := range c.machines {
		machines[machine] = true
	}
	for name, e := range c.folders {
		if machine, _, ok := parseName(name); ok {
			machines[machine] = true
		}
		if e != nil && e.err != nil && !sameText(f.entries[name].err, e.err) {
			f.log.Warn("model folder cannot be used", "model", name, "err", e.err)
		}
	}
	f.mu.Lock()
	for name, e := range c.folders {
		if e == nil {
			delete(f.entries, name)
		} else {
			f.entries[name] = *e
		}
	}
	f.mu.Unlock()

	var different []fettle.Model
	gone := false
	for _, machine := range slices.Sorted(maps.Keys(machines)) {
		before := f.shelves[machine]
		after := f.shelve(machine, before, c.folders)
		looks := f.bookPrint(machine)
		f.mu.Lock()
		if f.books[machine] = looks; looks == "" {
			delete(f.books, machine)
		}
		if f.shelves[machine] = after; len(after.versions) == 0 {
			delete(f.shelves, machine)
		}
		f.mu.Unlock()
		changed, went := differences(before, after)
		different, gone = append(different, changed...), gone || went
	}
	if f.changed != nil && (len(different) > 0 || gone) {
		f.changed(different)
	}
}

// shelve makes a machine's next shelf of its last one and of what changed.
func (f *Folder) shelve(machine string, before *shelf, folders map[string]*entry) *shelf {
	var versions []Version
	if before != nil {
		for _, v := range before.versions {
			if _, changed := folders[v.Name]; !changed {
				versions = append(versions, v)
			}
		}
	}
	for name, e := range folders {
		if of, _, ok := parseName(name); ok && of == machine && e != nil && e.err == nil {
			versions = append(versions, e.version)
		}
	}
	if len(versions) == 0 {
		return &shelf{book: newBook(machine)}
	}
	sortVersions(versions)
	b, saved, trouble := f.bookFor(machine, before, versions)
	if b.admit(versions, f.present, f.now()) {
		saved = false
	}
	if !saved && trouble == "" && f.opened {
		b.forget(f.present)
		if err := f.writeBook(b); err != nil {
			// It holds as long as the process lives, and is written with the next.
			f.log.Warn("cannot write down which versions serve", "machine", machine, "err", err)
		} else {
			saved = true
		}
	}
	after := newShelf(versions, b)
	after.saved, after.trouble = saved, trouble
	if trouble != "" && (before == nil || before.trouble != trouble) {
		f.log.Warn("decisions about models cannot be used", "machine", machine, "err", trouble)
	}
	return after
}

// bookFor is the book that counts for a machine: that on the disk, else that in
// memory, else a new one. With a trouble nothing may be written to the disk
// until somebody decides anew.
func (f *Folder) bookFor(machine string, before *shelf, versions []Version) (b *book, saved bool, trouble string) {
	b, err := f.readBook(machine)
	switch {
	case err != nil:
		trouble = fmt.Sprintf("%v; until it can be, or a version is promoted, what was decided is not known", err)
		if before != nil {
			return before.book.clone(), false, trouble
		}
	case b != nil:
		return b, true, ""
	case before != nil && !before.saved:
		return before.book.clone(), false, before.trouble
	case len(versions) > 1 && slices.ContainsFunc(versions, func(v Version) bool { return v.enters == entersChallenger }):
		trouble = "the file is gone, and with it which challengers were promoted; until a version is promoted, the newest PatchTST that is no challenger serves, else the newest ridge"
	}
	return newBook(machine), false, trouble
}

// bookPrint is what a machine's decisions look like from outside, "" if there
// are none.
func (f *Folder) bookPrint(machine string) string {
	info, err := os.Lstat(filepath.Join(f.dir, bookName(machine)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%v %d %s", info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
}

// differences are a machine's versions that are new or not what they were, and
// whether one went.
func differences(before, after *shelf) (changed []fettle.Model, gone bool) {
	old := map[string]Version{}
	if before != nil {
		for _, v := range before.versions {
			old[v.Name] = v
		}
	}
	for _, v := range after.versions {
		was, known := old[v.Name]
		delete(old, v.Name)
		if !known || was.Fingerprint != v.Fingerprint || !reflect.DeepEqual(was.Model, v.Model) {
			changed = append(changed, v.Model)
		}
	}
	return changed, len(old) > 0
}
