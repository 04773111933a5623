package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"fettle/internal/backup"
	"fettle/internal/readings"
)

// Keeping is what the API needs to look after the data folder, and the server
// that holds it.
type Keeping interface {
	Stop() // returns at once
	Backup(ctx context.Context, dir string) (backup.Note, error)
	Check(ctx context.Context) (readings.Report, error)
}

// addKeeping adds what takes as long as there is data.
func (a *API) addKeeping() {
	op := huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/backup", OperationID: "make-backup", Tags: []string{tagServer},
		Summary:   "Back up readings, state and models into a folder on the server's computer, while it goes on",
		Responses: returns(a.json(backup.Note{})), MaxBodyBytes: smallBody,
	}
	add(a, Admin, op, func(_ context.Context, in *answer[backupRequest]) (*huma.StreamResponse, error) {
		return a.takeTime("make-backup", func(ctx context.Context) (any, error) { return a.Keeping.Backup(ctx, in.Body.Dir) }), nil
	})
	op = huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/check", OperationID: "check-readings", Tags: []string{tagServer},
		Summary:   "Read all readings and compare them with what is known of them: files with their checksums, rows with counts and rollups",
		Responses: returns(a.json(readings.Report{})),
	}
	add(a, Admin, op, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		return a.takeTime("check-readings", func(ctx context.Context) (any, error) { return a.Keeping.Check(ctx) }), nil
	})
	op = huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/stop", OperationID: "stop-server", Tags: []string{tagServer}, DefaultStatus: http.StatusAccepted,
		Summary: "End the server, as Ctrl-C does: what is under way is finished first",
	}
	add(a, Admin, op, func(context.Context, *struct{}) (*struct{}, error) {
		a.Keeping.Stop()
		return nil, nil
	})
}

type backupRequest struct {
	Dir string `json:"dir" doc:"Absolute path of a folder that does not exist yet"`
}

// takeTime answers when the work is done, however long that takes.
func (a *API) takeTime(operation string, work func(context.Context) (any, error)) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Time{})
		out, err := work(r.Context())
		_ = control.SetWriteDeadline(time.Now().Add(answerTime))
		if err != nil {
			writeProblem(w, a.problemOf(operation, err))
			return
		}
		writeJSON(w, http.StatusOK, out)
	}}
}
