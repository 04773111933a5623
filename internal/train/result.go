package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"fettle"
)

// A Result is a worker's answer, one line of JSON: a model's whole folder and
// how good it is, or why there is none. The same job makes the same files on
// any processor with the same kernels, unless its time ran out.
type Result struct {
	Version    int    `json:"version"`
	ID         string `json:"id"`
	Machine    string `json:"machine"`
	Forecaster string `json:"forecaster"`
	Error      *Fault `json:"error,omitempty"` // all below is empty then

	Files       []File    `json:"files,omitempty"`
	Sensors     []string  `json:"sensors,omitempty"`
	Context     int       `json:"context,omitempty"`
	Horizon     int       `json:"horizon,omitempty"`
	StepSeconds float64   `json:"step_seconds,omitempty"`
	Parameters  int       `json:"parameters,omitempty"`
	Rows        int       `json:"rows,omitempty"`
	TrainedRows int       `json:"trained_rows,omitempty"`
	From        time.Time `json:"from,omitzero"`
	To          time.Time `json:"to,omitzero"`
	ScoredFrom  time.Time `json:"scored_from,omitzero"` // event time of the first row that judges
	Gaps        int       `json:"gaps,omitempty"`
	LeftOut     int       `json:"left_out,omitempty"` // rows in quarantine
	Windows     int       `json:"windows,omitempty"`  // there were to learn from
	Epochs      []Epoch   `json:"epochs,omitempty"`
	Best        int       `json:"best_epoch,omitempty"` // from 1
	Stopped     string    `json:"stopped,omitempty"`    // epochs, patience, budget, diverged
	Judgement   Judgement `json:"judgement"`

	Kernels   string  `json:"kernels,omitempty"` // which computed it
	Seconds   float64 `json:"seconds"`
	PeakBytes int64   `json:"peak_bytes,omitempty"` // held by the worker, where the system tells
}

// An Epoch's losses are mean squared errors in scaled units.
type Epoch struct {
	Train      float64 `json:"train"`
	Validation float64 `json:"validation"`
	Rate       float64 `json:"learning_rate"`
}

// A Fault says why there is no model, as a fettle.Error does.
type Fault struct {
	Message  string `json:"message"`
	Field    string `json:"field,omitempty"`
	Value    string `json:"value,omitempty"`
	Expected string `json:"expected,omitempty"`
}

func faultOf(err error) *Fault {
	f := &Fault{Message: err.Error()}
	if e := new(fettle.Error); errors.As(err, &e) {
		f.Field, f.Value, f.Expected = e.Field, e.Value, e.Expected
	}
	return f
}

// maxResult bounds a result line, in bytes: a model of 40 million parameters.
const maxResult = 256 << 20

// parseResult reads a worker's answer to a job.
func parseResult(line []byte, job *Job) (*Result, error) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil, fettle.Errorf(fettle.Unavailable, "the worker ended without a result")
	}
	var r Result
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, fettle.Errorf(fettle.Unavailable, "the worker printed what is no result: %q (%w)", fettle.Shorten(string(line)), err)
	}
	switch {
	case r.Version != wireVersion:
		return nil, fettle.BadField("bad result", "version", fmt.Sprint(r.Version), fmt.Sprintf("%d; use the same fettle on both sides", wireVersion))
	case r.Error != nil:
		return &r, nil
	case r.ID != job.ID, r.Machine != job.Machine, r.Forecaster != job.Forecaster:
		return nil, fettle.BadField("bad result", "id", r.ID+" of "+r.Machine, job.ID+" of "+job.Machine+", as the job has")
	case len(r.Files) == 0:
		return nil, fettle.BadField("bad result", "files", "none", "a model's folder")
	}
	return &r, checkFiles("files", r.Files)
}

// WriteFiles puts the model's files into a folder.
func WriteFiles(dir string, files []File) error {
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readFiles takes the plain files out of a folder, in the order of their names.
func readFiles(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !plain.MatchString(entry.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, File{entry.Name(), sumOf(data), data})
	}
	return files, nil
}

func writeLine(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
