package db

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"fettle"
)

// A step takes a store over from the format before it.
type step struct {
	to   int    // the format that the store has afterwards
	says string // what is different then, for people
	// do changes records. It may be ended by a crash at any point, and then begins
	// anew, so doing it twice must be the same as doing it once. nil: owners
	// change their records as they come upon them.
	do func(*DB) error
}

// steps are all there are, ascending. A format counts the layouts of the folder:
// Pebble's own format, and the keys and records of all owners. Whoever changes
// one so that an older binary would misread it adds a step; older binaries refuse
// a folder from the moment on at which its first step begins.
func steps() []step {
	return []step{
		{to: 2, says: "closed days of readings become files beside the store"}, // readings notes the days of each machine when it is opened, and seals them in the background
	}
}

// formatOf is the format after the last of some steps. Format 1 has none.
func formatOf(all []step) int {
	if len(all) == 0 {
		return 1
	}
	return all[len(all)-1].to
}

// The version stands in a file of one line beside Pebble's own files. While a
// store is taken over, another says from which format on.
const (
	formatFile     = "FORMAT"
	formatPrefix   = "fettle store format "
	takeoverFile   = "TAKEOVER"
	takeoverPrefix = "fettle store is taken over from format "
)

// A takeover is what has to be done to a store of an older format.
type takeover struct {
	steps []step
	from  int // 0: nothing
}

// checkFormat compares the folder's version with ours, and writes ours into a
// folder that is still empty. Of a folder of an older format it makes a copy
// before it marks it as ours.
func (o Options) checkFormat(dir string, disk vfs.FS) (takeover, error) {
	all := o.steps()
	ours := formatOf(all)
	version, err := readNumber(disk, disk.PathJoin(dir, formatFile), formatPrefix)
	if errors.Is(err, fs.ErrNotExist) {
		return takeover{}, startFormat(dir, disk, ours)
	}
	if broken := new(lineError); errors.As(err, &broken) {
		return takeover{}, fettle.Errorf(fettle.Conflict, "folder %s is no store of fettle, or its file %s is damaged: it says %q, expected %q; if it is one, write that line into it, with %d for N",
			dir, formatFile, broken.line, formatPrefix+"N", ours)
	}
	if err != nil {
		return takeover{}, fettle.Errorf(fettle.Unavailable, "read format of store in %s: %w", dir, err)
	}
	if version > ours {
		return takeover{}, fettle.Errorf(fettle.Conflict, "folder %s has store format %d, this fettle reads up to format %d; use the newer fettle that wrote it, or another folder",
			dir, version, ours)
	}
	from, err := readNumber(disk, disk.PathJoin(dir, takeoverFile), takeoverPrefix)
	if errors.Is(err, fs.ErrNotExist) {
		from, err = version, nil
	}
	if err != nil {
		return takeover{}, fettle.Errorf(fettle.Unavailable, "read how far store in %s was taken over: %w", dir, err)
	}
	if from == ours {
		return takeover{}, nil
	}
	t := takeover{steps: slices.DeleteFunc(all, func(s step) bool { return s.to <= from }), from: from}
	if err := t.begin(dir, disk, version, o); err != nil {
		return takeover{}, fettle.Errorf(fettle.Unavailable, "take over store in %s from format %d; nothing in it has changed: %w", dir, version, err)
	}
	return t, nil
}

// begin copies the store and marks it, so that older binaries leave it alone and
// whoever opens it after a crash goes on. version is the one that it is marked as
// now: ours, if a takeover was ended by a crash.
func (t takeover) begin(dir string, disk vfs.FS, version int, o Options) error {
	var says []string
	for _, s := range t.steps {
		says = append(says, s.says)
	}
	log := o.Log.With("folder", dir, "from", t.from, "to", formatOf(t.steps), "new", strings.Join(says, "; "))
	if version == formatOf(t.steps) {
		log.Info("going on with taking over a store of an older format")
		return nil
	}
	copied := ""
	if !o.HasCopy {
		copied = fmt.Sprintf("%s.format%d-%s", dir, version, time.Now().UTC().Format("20060102_150405.000000"))
	}
	log.Info("taking over a store of an older format; older versions of fettle cannot open it any more", "backup", copied)
	if copied != "" {
		if err := copyStore(Files{disk}, dir, copied); err != nil {
			return fmt.Errorf("back it up to %s first: %w", copied, err)
		}
	}
	if err := writeLine(disk, disk.PathJoin(dir, takeoverFile), fmt.Sprint(takeoverPrefix, t.from)); err != nil {
		return err
	}
	return writeLine(disk, disk.PathJoin(dir, formatFile), fmt.Sprint(formatPrefix, formatOf(t.steps)))
}

// run takes the steps on the open store, and forgets that there was a takeover.
func (t takeover) run(d *DB, disk vfs.FS, log *slog.Logger) error {
	if t.from == 0 {
		return nil
	}
	for _, s := range t.steps {
		if s.do == nil {
			continue
		}
		if err := s.do(d); err != nil {
			return fettle.Errorf(fettle.Unavailable, "take over store in %s to format %d: %w; the next start tries again", d.dir, s.to, err)
		}
	}
	if err := disk.Remove(disk.PathJoin(d.dir, takeoverFile)); err != nil {
		return fettle.Errorf(fettle.Unavailable, "take over store in %s: %w", d.dir, err)
	}
	log.Info("store is taken over", "folder", d.dir, "format", formatOf(t.steps))
	return nil
}

// copyStore copies the store in a folder that nobody has open, whole or not at
// all. Table files never change, so they only get a second name.
func copyStore(files Files, dir, to string) error {
	names, err := files.List(dir)
	if err != nil {
		return err
	}
	draft := dir + ".copying" // the same each time, so that one that a crash left goes
	if err := files.disk.RemoveAll(draft); err != nil {
		return err
	}
	if err := files.MakeFolder(draft); err != nil {
		return err
	}
	for _, name := range names {
		from, into := files.disk.PathJoin(dir, name), files.disk.PathJoin(draft, name)
		switch {
		case name == "LOCK":
		case strings.HasSuffix(name, ".sst"):
			err = files.Link(from, into)
		default:
			err = files.copy(from, into)
		}
		if err != nil {
			return errors.Join(err, files.disk.RemoveAll(draft))
		}
	}
	if err := files.SyncFolder(draft); err != nil {
		return err
	}
	return files.Move(Rename{draft, to})
}

// startFormat is for a folder without a version. It gets ours before Pebble
// writes its first file, so a folder with those and no version is not ours.
func startFormat(dir string, disk vfs.FS, ours int) error {
	found, err := pebble.Peek(dir, disk)
	if err != nil {
		return fettle.Errorf(fettle.Unavailable, "look into store folder %s: %w", dir, err)
	}
	if found.Exists {
		return fettle.Errorf(fettle.Conflict, "folder %s holds a Pebble store without the file %s, so it is no store of fettle; use another folder, or, if it is one that has lost this file, write the line %q into it", dir, formatFile, fmt.Sprint(formatPrefix, ours))
	}
	if err := writeLine(disk, disk.PathJoin(dir, formatFile), fmt.Sprint(formatPrefix, ours)); err != nil {
		return fettle.Errorf(fettle.Unavailable, "write format of store in %s: %w", dir, err)
	}
	return nil
}

// A lineError is a line that is not one of ours.
type lineError struct{ line string }

func (e *lineError) Error() string { return fmt.Sprintf("it says %q", e.line) }

// readNumber reads a file of one line: a prefix and a number above 0.
func readNumber(disk vfs.FS, name, prefix string) (int, error) {
	file, err := disk.Open(name)
	if err != nil {
		return 0, err
	}
	line, err := io.ReadAll(io.LimitReader(file, 100))
	if err := errors.Join(err, file.Close()); err != nil {
		return 0, err
	}
	text, isOurs := strings.CutPrefix(string(line), prefix)
	number, err := strconv.Atoi(strings.TrimSpace(text))
	if !isOurs || err != nil || number < 1 {
		return 0, &lineError{fettle.Shorten(string(line))}
	}
	return number, nil
}

// writeLine writes a file of one line, whole or not at all.
func writeLine(disk vfs.FS, name, line string) error {
	files := Files{disk}
	if err := files.Draft([]string{name + ".new"}, func(w []io.Writer) error {
		_, err := fmt.Fprintln(w[0], line)
		return err
	}); err != nil {
		return err
	}
	return files.Move(Rename{name + ".new", name})
}
