package model

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fettle"
	"fettle/internal/rename"
)

// A Publication says about a new version what its files do not. For a PatchTST
// the sizes may stay 0: its files say them.
type Publication struct {
	Machine     string
	Forecaster  string   // "": fettle.ShortForecaster
	Family      string   // Ridge or PatchTST
	Sensors     []string // in the model's order
	Context     int      // rows it looks back
	Horizon     int      // steps it looks ahead
	StepSeconds float64  // step it was fitted on; 0: the machine's own
	TrainedRows int64
	Parameters  int
	Source      string    // where it came from, for people
	Training    *Training // how it came about; nil if nobody knows
}

// Publish makes a version. write puts the model's files into an empty folder:
// ridge.json, or config.json, model.safetensors and the scaler. The version
// appears, on the disk and in List, once everything has been written, checked
// and synced; if anything fails nothing of it stays. Its stamp is the present
// second in UTC, or the next one that makes it the machine's newest.
//
// The first version of a machine and forecaster serves at once. After that a
// PatchTST is a challenger until it is promoted, and a ridge takes the place of
// a ridge, but never that of a PatchTST.
func (f *Folder) Publish(p Publication, write func(dir string) error) (fettle.Model, error) {
	c := p.card()
	if c.Enters = entersChallenger; c.Family == Ridge {
		c.Enters = entersRefit
	}
	m, err := f.add(c, f.nextStamp(p.Machine), write)
	if err != nil {
		return fettle.Model{}, fmt.Errorf("publish model of %s: %w", p.Machine, err)
	}
	return m, nil
}

func (p Publication) card() card {
	return card{
		Machine: p.Machine, Forecaster: p.Forecaster, Family: p.Family, Sensors: p.Sensors, Context: p.Context, Horizon: p.Horizon,
		StepSeconds: p.StepSeconds, TrainedRows: p.TrainedRows, Parameters: p.Parameters, Source: p.Source, Training: p.Training,
	}
}

// nextStamp is the present, but never before the machine's newest version:
// several fits within a second, and a clock that was set back, must not make a
// new version look older than the one it follows.
func (f *Folder) nextStamp(machine string) time.Time {
	f.mu.RLock()
	defer f.mu.RUnlock()
	stamp := f.now()
	if s := f.shelves[machine]; s != nil {
		if last := s.versions[len(s.versions)-1].Created; !last.Before(stamp.Truncate(time.Second)) {
			stamp = last.Add(time.Second)
		}
	}
	return stamp
}

// remove takes a folder away. f.changing is held.
func (f *Folder) remove(name string) error {
	// One rename takes it away whole; deleting may take a while, and may be cut
	// short.
	grave, err := f.temporary()
	if err == nil {
		err = rename.To(filepath.Join(f.dir, name), filepath.Join(grave, name))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(grave))
	}
	err = os.Remove(filepath.Join(f.dir, scalerBeside(name)))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	f.apply(changes{folders: map[string]*entry{name: nil}})
	return errors.Join(err, syncFolder(f.dir), os.RemoveAll(grave))
}

// temporaryPrefix starts the names of folders that are being written or
// deleted.
const temporaryPrefix = ".fettle-"

// temporary makes a folder beside the versions that nobody looks at.
func (f *Folder) temporary() (string, error) {
	dir, err := os.MkdirTemp(f.dir, temporaryPrefix)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755) // as every other folder, once it has its name
}

// abandoned is how old a temporary folder is whose maker has surely died.
const abandoned = 24 * time.Hour

// sweep deletes what killed processes left behind. The folder works with it as
// well as without, so a failure is only logged.
func (f *Folder) sweep() {
	listing, err := os.ReadDir(f.dir)
	for _, listed := range listing {
		if !strings.HasPrefix(listed.Name(), temporaryPrefix) {
			continue
		}
		info, statErr := listed.Info()
		if statErr == nil && f.now().Sub(info.ModTime()) > abandoned {
			err = errors.Join(err, os.RemoveAll(filepath.Join(f.dir, listed.Name())))
		}
	}
	if err != nil {
		f.log.Warn("cannot delete what an earlier process left in the folder of models", "err", err)
	}
}

// add makes a version: write fills a temporary folder, which becomes the
// version if it holds one.
func (f *Folder) add(c card, stamp time.Time, write func(dir string) error) (m fettle.Model, err error) {
	if err := c.check(); err != nil {
		return m, err
	}
	if _, err := versionName(c.Machine, stamp); err != nil {
		return m, err
	}
	dir, err := f.temporary()
	if err != nil {
		return m, err
	}
	defer func() {
		// After the rename there is nothing left to remove.
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := write(dir); err != nil {
		return m, err
	}
	f.changing.Lock()
	defer f.changing.Unlock()
	name, err := f.place(dir, c, stamp)
	if err != nil {
		return m, err
	}
	e := f.look(name)
	f.apply(changes{folders: map[string]*entry{name: &e}})
	if e.err != nil {
		return m, e.err
	}
	v, _ := f.Get(name)
	return v.Model, nil
}

// maxBumps bounds the search for a free second.
const maxBumps = 24 * 60 * 60

// place gives a finished temporary folder its name, the first that is free.
// f.changing is held, but another process may take a name as well.
func (f *Folder) place(dir string, c card, stamp time.Time) (string, error) {
	stamp = stamp.UTC().Truncate(time.Second)
	for range maxBumps {
		name, err := versionName(c.Machine, stamp)
		if err != nil {
			return "", err
		}
		path := filepath.Join(f.dir, name)
		// A scaler without its folder holds the name too: the folder may follow.
		if !exists(path) && !exists(filepath.Join(f.dir, scalerBeside(name))) {
			if err := finish(dir, name, c); err != nil {
				return "", err
			}
			err := rename.To(dir, path)
			if err == nil {
				return name, syncFolder(f.dir)
			}
			if !errors.Is(err, fs.ErrExist) && !exists(path) { // Windows says that access is denied
				return "", err
			}
		}
		stamp = stamp.Add(time.Second)
	}
	return "", fettle.Errorf(fettle.Conflict, "every second of the day after %s is taken", stamp.Add(-maxBumps*time.Second).Format(stampLayout))
}

// finish checks a temporary folder, writes its card, and puts it on the disk.
func finish(dir, name string, c card) error {
	if err := writeCard(dir, c); err != nil {
		return err
	}
	v, err := readVersion(dir, name, "", whole)
	if err != nil {
		return err
	}
	c.Family, c.Created, c.Sensors = v.Family, v.Created, v.Sensors
	c.Context, c.Horizon, c.Parameters = v.Context, v.Horizon, v.Parameters
	if c.SHA256, err = hashFile(filepath.Join(dir, weightsOf(v.Family))); err != nil {
		return err
	}
	if err := writeCard(dir, c); err != nil {
		return err
	}
	return syncTree(dir)
}

func writeCard(dir string, c card) error {
	text, err := c.encode()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, cardFile), text, 0o644)
}
