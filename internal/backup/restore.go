package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/readings"
)

// Restore makes a data folder of a backup. The folder must not hold data yet. It
// is compared with the backup's note and checked before it gets its name;
// nothing of the backup is changed.
func Restore(ctx context.Context, from, dir, store string) (Note, error) {
	note, err := ReadNote(from)
	if err != nil {
		return Note{}, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return Note{}, err
	}
	if err := mustBeFree(dir); err != nil {
		return Note{}, err
	}
	err = restore(ctx, from, dir+partial, store, note)
	if err == nil {
		err = place(dir+partial, dir)
	}
	if err != nil {
		return Note{}, errors.Join(fmt.Errorf("restore %s to %s: %w", from, dir, err), os.RemoveAll(dir+partial))
	}
	return note, nil
}

func restore(ctx context.Context, from, dir, store string, note Note) error {
	if _, err := copyTree(ctx, from, dir); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, noteFile)); err != nil {
		return err
	}
	machines, err := look(dir, store)
	if err != nil {
		return err
	}
	if differs := compare(note.Machines, machines); differs != "" {
		return fettle.Errorf(fettle.Invalid, "the backup is not what its %s says: %s", noteFile, differs)
	}
	report, err := Check(ctx, dir, store)
	if err != nil {
		return err
	}
	if len(report.Faults) > 0 {
		return fettle.Errorf(fettle.Invalid, "the backup has %d faults: %s", len(report.Faults), strings.Join(report.Faults[:min(3, len(report.Faults))], "; "))
	}
	return nil
}

// ReadNote reads what a backup holds. NotFound: the folder is no backup.
func ReadNote(dir string) (Note, error) {
	text, err := os.ReadFile(filepath.Join(dir, noteFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Note{}, fettle.Errorf(fettle.NotFound, "%s is no backup: there is no %s in it", dir, noteFile)
	}
	if err != nil {
		return Note{}, fmt.Errorf("read backup: %w", err)
	}
	var note Note
	if err := json.Unmarshal(text, &note); err != nil {
		return Note{}, fettle.Errorf(fettle.Invalid, "read %s: %w", filepath.Join(dir, noteFile), err)
	}
	return note, nil
}

// compare says the first difference of two lists of machines; empty if none.
func compare(want, got []Holding) string {
	if len(want) != len(got) {
		return fmt.Sprintf("%d machines, expected %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Machine != w.Machine || g.Rows != w.Rows || !g.First.Equal(w.First) || !g.Last.Equal(w.Last) {
			return fmt.Sprintf("machine %q has %d rows from %v to %v, expected %q with %d from %v to %v", g.Machine, g.Rows, g.First, g.Last, w.Machine, w.Rows, w.First, w.Last)
		}
	}
	return ""
}

// look opens a data folder that nobody holds and lists what is in it.
func look(dir, store string) (machines []Holding, err error) {
	err = within(dir, store, func(s *readings.Store) error {
		for _, info := range s.Machines() {
			machines = append(machines, Holding{info.Machine, info.Rows, info.First, info.Last})
		}
		return nil
	})
	return machines, err
}

// Check checks the readings of a data folder that nobody holds.
func Check(ctx context.Context, dir, store string) (report readings.Report, err error) {
	err = within(dir, store, func(s *readings.Store) (err error) {
		report, err = s.Check(ctx)
		return err
	})
	return report, err
}

func within(dir, store string, do func(*readings.Store) error) error {
	d, err := db.Open(filepath.Join(dir, store), db.Options{HasCopy: true}) // the backup itself
	if err != nil {
		return err
	}
	s, err := readings.Open(d, dir, nil)
	if err == nil {
		err = do(s)
	}
	return errors.Join(err, d.Close())
}
