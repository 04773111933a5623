package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"fettle"
)

// What a Request may say for where its runs are done, beside an address.
const (
	Here    = "local" // this computer
	OnSpark = "spark" // the configured cluster
)

// A Place is a cluster: the address of its Connect server, which may hold a
// token, and settings of a session there. The zero Place is the configured one.
type Place struct {
	URL   string            `json:"url,omitempty"`
	Confs map[string]string `json:"confs,omitempty"`
}

// A destination is where a run is to be done. The record says on, which holds no
// token; what is not configured stands in a file beside the job.
type destination struct {
	on string // "" is here
	Place
}

func (d destination) elsewhere() bool { return d.on != "" }

// destinationOf is where the runs of a request are done.
func (m *Manager) destinationOf(r Request) (destination, error) {
	on := r.On
	if on == "" {
		on = m.cfg.Engine
	}
	switch {
	case (on == "" || on == Here) && len(r.Confs) > 0:
		return destination{}, fettle.BadField("no cluster", "confs", fmt.Sprintf("%d settings", len(r.Confs)), "none where no cluster trains; say which: fettle train --on sc://host:15002")
	case on == "" || on == Here:
		return destination{}, nil
	case on == OnSpark && m.cfg.Cluster.URL == "":
		return destination{}, fettle.BadField("no cluster", "on", on, "the address of one, such as sc://host:15002: none is configured (training.spark.url)")
	case on == OnSpark:
		name, err := m.Spark.Name(m.cfg.Cluster.URL)
		return destination{name, Place{Confs: r.Confs}}, err
	default:
		name, err := m.Spark.Name(on)
		return destination{name, Place{on, r.Confs}}, err
	}
}

// keep writes down what only the request said, in the run's folder.
func (d destination) keep(dir string) error {
	if d.URL == "" && len(d.Confs) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the run: %w", err)
	}
	return errand{Place: d.Place}.write(dir)
}

// Files in the folder of a run that a cluster does.
const (
	errandFile = "cluster.json"
	resultFile = "result.json" // the worker's answer, before anything is made of it
)

// An errand is what is written down of a run that a cluster does, so that the
// next server finds it there.
type errand struct {
	Place
	Session   string   `json:"session,omitempty"`
	Operation string   `json:"operation,omitempty"` // as long as it may be under way
	Keys      []string `json:"keys,omitempty"`      // SHA-256 of those that its workers got, the newest last; that one is in force while there is an operation
}

// readErrand reads what a folder says; the zero errand if it says nothing.
func readErrand(dir string) (e errand, err error) {
	text, err := os.ReadFile(filepath.Join(dir, errandFile))
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		return e, fmt.Errorf("read where the run is done: %w", err)
	}
	return e, nil
}

func (e errand) write(dir string) error {
	return writeFile(filepath.Join(dir, errandFile), func(w io.Writer) error { return writeLine(w, e) })
}
