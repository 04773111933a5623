package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fettle"
	"fettle/internal/train"
)

// What the worker of one training may ask.
const (
	runRate     = 120              // requests a minute
	rowsTime    = 10 * time.Minute // to take the readings
	maxProgress = 4 << 10          // bytes of what it tells
)

// addWorkers adds what the worker of a training asks that runs on a cluster. It
// shows the key of its run, made for that run alone and in force while its work
// is wanted; no other key opens these routes. 410 ends the worker.
func (a *API) addWorkers() {
	what := func(method, path, id, summary string, responses map[string]*huma.Response) huma.Operation {
		op := huma.Operation{
			Method: method, Path: "/api/v1/training/{id}/" + path, OperationID: id, Tags: []string{tagTraining}, Summary: summary, Parameters: pathParam("id"), Responses: responses,
			Description: "For the worker of a training on a cluster: it takes the key that fettle gave to this one. 410: the run is not wanted any more.",
		}
		a.canFail(&op)
		return op
	}
	a.addPlain(workerKey, what(http.MethodGet, "rows", "get-training-rows", "The readings of a training, for its worker",
		returns(content{"application/vnd.apache.parquet": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}})), a.jobRows)
	a.addPlain(workerKey, what(http.MethodPost, "progress", "tell-training-progress", "How far a training is, from its worker",
		map[string]*huma.Response{"204": {Description: "Heard"}}), a.jobProgress)
}

// worker is the run that a request is about, and the key that it shows. False:
// it has been answered.
func (a *API) worker(w http.ResponseWriter, r *http.Request) (id uint64, key string, ok bool) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	key, shown := shownKey(r)
	switch {
	case err != nil:
		a.refuseWorker(w, fettle.Errorf(fettle.NotFound, "no training run %q", fettle.Shorten(r.PathValue("id"))))
	case !shown || key == "":
		refuse(w, r, refusal{Detail: "Not authenticated", Code: "no key", Why: "the worker of a training shows the key of its run in X-API-Key"})
	default:
		// By the key, not the run: nobody else can use up what its worker may ask.
		if refused := a.byRun.tooMany(hashText(key), "with this key"); refused != nil {
			refuse(w, r, *refused)
			return 0, "", false
		}
		return id, key, true
	}
	return 0, "", false
}

func (a *API) refuseWorker(w http.ResponseWriter, err error) {
	if errors.Is(err, train.ErrUnwanted) {
		writeProblem(w, &Problem{Status: http.StatusGone, Detail: err.Error(), Code: "not wanted"})
		return
	}
	writeProblem(w, a.problemOf("training worker", err))
}

func (a *API) jobRows(w http.ResponseWriter, r *http.Request) {
	id, key, ok := a.worker(w, r)
	if !ok {
		return
	}
	rows, err := a.Workers.JobRows(id, key)
	if err != nil {
		a.refuseWorker(w, err)
		return
	}
	defer rows.Close()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(rowsTime)) // a test's writer has none
	w.Header().Set("Content-Type", "application/vnd.apache.parquet")
	if _, err := io.Copy(w, rows); err != nil {
		a.log.Debug("a worker did not take its readings", "run", id, "err", err)
		panic(http.ErrAbortHandler) // so that nobody takes the half for the whole
	}
}

func (a *API) jobProgress(w http.ResponseWriter, r *http.Request) {
	id, key, ok := a.worker(w, r)
	if !ok {
		return
	}
	var p train.Progress
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxProgress)).Decode(&p)
	if err != nil {
		err = fettle.Errorf(fettle.Invalid, "read progress: %w; expected JSON of at most %d bytes", err, maxProgress)
	} else {
		err = a.Workers.JobProgress(id, key, p)
	}
	if err != nil {
		a.refuseWorker(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
