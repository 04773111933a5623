package model

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pace is how soon the folder is looked at again.
type pace struct {
	settle time.Duration // after the last notice of a change
	poll   time.Duration // without any notice
	notice bool          // whether the system is asked for notices
}

// usualPace waits long enough for a copy of small files to be through, and
// polls because not every file system gives notice (NFS, SMB, mounts of other
// systems) and notices can be lost.
func usualPace() pace {
	return pace{settle: 300 * time.Millisecond, poll: 30 * time.Second, notice: true}
}

// Run follows the folder until ctx ends. A notice has only the folder looked at
// that it tells of; the whole is looked at regularly, and the more slowly the
// more there is.
func (f *Folder) Run(ctx context.Context) error {
	n := f.notices()
	defer n.close()
	verified := make(chan struct{})
	go func() {
		defer close(verified)
		f.verify(ctx)
	}()
	defer func() { <-verified }()
	// The first look catches what came between Open and the first notice.
	settled, everything := time.After(f.pace.settle), time.After(min(f.pace.settle, f.pace.poll))
	noticed := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-n.events:
			switch name := n.concerns(f, event); name {
			case "":
			case ".":
				everything = time.After(f.pace.settle)
			default:
				noticed[name] = true
				settled = time.After(f.pace.settle)
			}
			continue
		case err := <-n.errors:
			f.log.Warn("notices of changed models may be missing; the folder is also looked at regularly", "err", err)
			everything = time.After(f.pace.settle)
			continue
		case <-settled:
			f.rescan(noticed)
			clear(noticed)
			if late := n.follow(f, false); len(late) > 0 {
				maps.Copy(noticed, late)
				settled = time.After(f.pace.settle)
			}
		case <-everything:
			started := time.Now()
			if err := f.scan(); err != nil {
				f.log.Error("cannot look at the folder of models", "err", err)
			}
			everything = time.After(max(f.pace.poll, 100*time.Since(started)))
			if late := n.follow(f, true); len(late) > 0 {
				maps.Copy(noticed, late)
				settled = time.After(f.pace.settle)
			}
		}
	}
}

// verify makes up for what Open left out: it compares weights with their hashes,
// at the pace of a tenth of a core. Whoever loads a version meanwhile does so
// too.
func (f *Folder) verify(ctx context.Context) {
	f.changing.Lock()
	var names []string
	for name, e := range f.entries {
		if e.outlined && e.err == nil {
			names = append(names, name)
		}
	}
	f.changing.Unlock()
	slices.Sort(names)
	for _, name := range names {
		began := time.Now()
		f.verifyOne(name)
		select {
		case <-ctx.Done():
			return
		case <-time.After(9 * time.Since(began)):
		}
	}
}

func (f *Folder) verifyOne(name string) {
	f.changing.Lock()
	e, there := f.entries[name]
	f.changing.Unlock()
	if !there || !e.outlined || e.err != nil {
		return // it has changed, and was looked at as a whole
	}
	err := e.version.CheckWeights()
	f.changing.Lock()
	defer f.changing.Unlock()
	if now := f.entries[name]; !now.outlined || now.fingerprint != e.fingerprint {
		return
	}
	if e.err, e.outlined = err, false; err != nil {
		f.apply(changes{folders: map[string]*entry{name: &e}})
		return
	}
	f.mu.Lock()
	f.entries[name] = e
	f.mu.Unlock()
}

// notices are what the system tells about changes. The folder of models is
// watched, and those folders in it that cannot be used yet. A usable one is not
// expected to change, and there may be many; but one that has just become
// usable stays watched for a while, as its card may be copied last.
type notices struct {
	watcher *fsnotify.Watcher // nil: there are none
	events  chan fsnotify.Event
	errors  chan error
	watched map[string]bool // folders in the folder of models
}

func (f *Folder) notices() *notices {
	n := &notices{watched: map[string]bool{}}
	if !f.pace.notice {
		return n
	}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(f.dir); err != nil {
			watcher.Close()
		}
	}
	if err != nil {
		f.log.Warn("no notices of changed models; the folder is looked at regularly", "every", f.pace.poll, "err", err)
		return n
	}
	n.watcher, n.events, n.errors = watcher, watcher.Events, watcher.Errors
	return n
}

func (n *notices) close() {
	if n.watcher != nil {
		n.watcher.Close()
	}
}

// concerns is the entry of the folder of models that an event is about, "."
// for that folder itself, "" if it cannot matter: what has a dot name is not there yet, and attributes change
// without the content.
func (n *notices) concerns(f *Folder, event fsnotify.Event) string {
	if event.Op == fsnotify.Chmod || strings.HasPrefix(filepath.Base(event.Name), ".") {
		return ""
	}
	relative, err := filepath.Rel(f.dir, event.Name)
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(filepath.ToSlash(relative), "/")
	return name
}

// follow watches the folders that cannot be used; with tidy it lets go of the
// others. Those that it began to watch may have changed just before.
func (n *notices) follow(f *Folder, tidy bool) (began map[string]bool) {
	if n.watcher == nil {
		return nil
	}
	began = map[string]bool{}
	// The watch ends when the folder of models goes; it may have come back.
	_ = n.watcher.Add(f.dir)
	broken := map[string]bool{}
	for _, p := range f.Problems() {
		path := filepath.Join(f.dir, p.Name)
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			broken[path] = true
		}
	}
	for path := range n.watched {
		if tidy && !broken[path] {
			_ = n.watcher.Remove(path) // it may be gone, and its watch with it
			delete(n.watched, path)
		}
	}
	for path := range broken {
		if n.watched[path] {
			continue
		}
		if err := n.watcher.Add(path); err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				f.log.Debug("no notices of one model folder; it is looked at regularly", "path", path, "err", err)
			}
			continue
		}
		n.watched[path], began[filepath.Base(path)] = true, true
	}
	return began
}
