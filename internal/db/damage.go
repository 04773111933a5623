package db

import (
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"fettle"
)

// restoreIt and checkIt end every sentence about a store that is damaged. Closed
// days are files beside the store, so most of what there is outlives it.
const (
	restoreIt = "the files of closed days (readings, rollups) are not part of it and stay as they are; " +
		"move the data folder aside and make it anew from a backup with `fettle restore`"
	checkIt = restoreIt + ", or go on with what is left, which `fettle check` lists"
)

// damage is what is known to be damaged or lost in an open store.
type damage struct {
	mu    sync.Mutex
	found []string
}

// mostDamage bounds what is remembered; each is logged.
const mostDamage = 10

// note remembers something, and tells whether it is new.
func (g *damage) note(what string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, known := range g.found {
		if known == what {
			return false
		}
	}
	if len(g.found) < mostDamage {
		g.found = append(g.found, what)
	}
	return true
}

// Damage says what of the store was found to be damaged or lost since it was
// opened; nil if nothing. The store serves what is left.
func (d *DB) Damage() error {
	d.damage.mu.Lock()
	defer d.damage.mu.Unlock()
	if len(d.damage.found) == 0 {
		return nil
	}
	return fettle.Errorf(fettle.Internal, "store in %s is damaged: %s; %s", d.dir, strings.Join(d.damage.found, "; "), checkIt)
}

// corrupt is told by Pebble of a table file that is not what was written. By
// default it would end the process; here the read ends with an error, and
// everything else goes on.
func (d *DB) corrupt(info pebble.DataCorruptionInfo) {
	file := d.guard.PathBase(info.Path)
	if d.damage.note("a part of " + file + " cannot be read") {
		d.health.log.Error("store is damaged: a part of a file cannot be read, and the records in it are lost", "file", info.Path, "err", info.Details, "todo", checkIt)
	}
}

// unreadable is the error of a read that failed.
func (d *DB) unreadable(err error) error {
	if !pebble.IsCorruptionError(err) {
		return fettle.Errorf(fettle.Unavailable, "read from store in %s: %w", d.dir, err)
	}
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		err = info.Details
	}
	return fettle.Errorf(fettle.Internal, "read from store in %s: it is damaged: %w; %s", d.dir, err, checkIt)
}

// What Pebble says of a folder that it cannot open, and what that means.
var openErrors = []struct {
	said  *regexp.Regexp
	means string
}{
	{regexp.MustCompile(`file (\d{6}) \(type sstable\).*does not exist`), "$1.sst is missing, and with it all records in it"},
	{regexp.MustCompile(`object size mismatch \(.*?(\d{6}\.sst)\): (\d+) \(disk\) != (\d+)`), "$1 is $2 bytes long, expected $3"},
	{regexp.MustCompile(`could not open manifest file "(MANIFEST-\d+)"`), "$1, which lists its files, is missing"},
	{regexp.MustCompile(`malformed manifest file "(MANIFEST-\d+)"`), "$1, which lists its files, cannot be read"},
	{regexp.MustCompile(`error when replaying WAL`), "one of its logs (*.log), which hold its newest records, ends early or has changed"},
	{regexp.MustCompile(`already exists and is not pristine`), "marker.format-version.*, a file without content, is missing"},
}

// openError puts what Pebble says of a folder into words.
func openError(dir string, err error) error {
	text := err.Error()
	for _, e := range openErrors {
		if found := e.said.FindStringSubmatchIndex(text); found != nil {
			return fettle.Errorf(fettle.Unavailable, "open store in %s: it is damaged: %s; %s", dir, e.said.ExpandString(nil, e.means, text, found), restoreIt)
		}
	}
	if pebble.IsCorruptionError(err) {
		return fettle.Errorf(fettle.Unavailable, "open store in %s: it is damaged: %w; %s", dir, err, restoreIt)
	}
	return fettle.Errorf(fettle.Unavailable, "open store in %s: %w", dir, err)
}

// setOptionsAside renames Pebble's list of the options that it was last opened
// with, if it cannot be read. They are ours to say; the list only tells an
// opening with others that would not fit.
func setOptionsAside(dir string, disk vfs.FS, o *pebble.Options, log *slog.Logger) error {
	found, err := pebble.Peek(dir, disk)
	if err != nil || found.OptionsFilename == "" {
		return nil // Pebble says what is wrong
	}
	file, err := disk.Open(found.OptionsFilename)
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err == nil {
		err = o.CheckCompatibility(dir, string(text))
	}
	if err == nil {
		return nil
	}
	log.Warn("store's list of options cannot be read; it is set aside and made anew", "file", found.OptionsFilename, "err", err)
	return disk.Rename(found.OptionsFilename, found.OptionsFilename+".damaged")
}
