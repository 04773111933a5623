package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A moved is the record of what was taken over, and up to when: migrate.json in
// the data folder.
type moved struct {
	URL         string    `json:"url"`
	Org         string    `json:"org"`
	Bucket      string    `json:"bucket"`
	Measurement string    `json:"measurement"`
	MachineTag  string    `json:"machine_tag"`
	Days        int       `json:"days,omitempty"`
	From        time.Time `json:"from"`
	Until       time.Time `json:"until"` // all before is on disk
}

// sameAs tells whether two runs take over the same.
func (m moved) sameAs(other moved) bool {
	other.From, other.Until = m.From, m.Until
	return m == other
}

const movedFile = "migrate.json"

func readMoved(dir string) (m moved, err error) {
	text, err := os.ReadFile(filepath.Join(dir, movedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, fmt.Errorf("read how far an earlier migration got: %w; delete %s to begin anew", err, filepath.Join(dir, movedFile))
	}
	return m, nil
}

// write replaces the record as a whole.
func (m moved) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	draft := filepath.Join(dir, movedFile+".draft")
	if err := os.WriteFile(draft, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("note how far the migration is: %w", err)
	}
	return os.Rename(draft, filepath.Join(dir, movedFile))
}
