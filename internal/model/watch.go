package model

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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

// Run follows the folder until ctx ends.
func (f *Folder) Run(ctx context.Context) error {
	n := f.notices()
	defer n.close()
	poll := time.NewTicker(f.pace.poll)
	defer poll.Stop()
	// The first look catches what came between Open and the first notice.
	settled := time.After(f.pace.settle)
	for {
		all := scanChanged
		select {
		case <-ctx.Done():
			return nil
		case event := <-n.events:
			if n.counts(event) {
				settled = time.After(f.pace.settle)
			}
			continue
		case err := <-n.errors:
			f.log.Warn("notices of changed models may be missing; the folder is also looked at regularly", "err", err)
			continue
		case <-settled:
		case <-poll.C:
			all = scanAll
		}
		if err := f.scan(all); err != nil {
			f.log.Error("cannot look at the folder of models", "err", err)
		}
		if n.follow(f, all) {
			settled = time.After(f.pace.settle)
		}
	}
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

// counts tells whether an event can matter: what has a dot name is not there
// yet, and attributes change without the content.
func (n *notices) counts(event fsnotify.Event) bool {
	return event.Op != fsnotify.Chmod && !strings.HasPrefix(filepath.Base(event.Name), ".")
}

// follow watches the folders that cannot be used; with tidy it lets go of the
// others. It tells whether it began to watch one: that may have changed just
// before.
func (n *notices) follow(f *Folder, tidy bool) (began bool) {
	if n.watcher == nil {
		return false
	}
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
		n.watched[path], began = true, true
	}
	return began
}
