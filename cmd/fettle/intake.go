package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/config"
	"fettle/internal/influx"
	"fettle/internal/ingest"
)

// An intake is the way into the readings of a folder: the server's, or a gate of
// our own. Close it before the backend.
type intake struct {
	Submit influx.Submit
	Close  func() error
}

// Intake opens a gate before the folder's own store.
func (f *folder) Intake(ctx context.Context, c config.Ingest) intake {
	gate := ingest.New(ingest.Config{
		MaxFuture: time.Duration(c.MaxFuture), QueueBytes: int(c.Queue), MaxMachines: c.MaxMachines, Now: time.Now,
	}, f.rows, func([]fettle.Reading) {})
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- gate.Run(ctx) }()
	return intake{
		Submit: func(ctx context.Context, rows []fettle.Reading) (int, error) {
			done, err := gate.Submit(ctx, rows)
			return done.Stored, err
		},
		Close: func() error {
			stop()
			return <-ended
		},
	}
}

// Intake sends line protocol to the server.
func (r *remote) Intake(context.Context, config.Ingest) intake {
	return intake{Submit: r.submit, Close: func() error { return nil }}
}

// droppedByServer is how a server counts the readings that it refused for good.
var droppedByServer = regexp.MustCompile(`dropped=(\d+)`)

func (r *remote) submit(ctx context.Context, rows []fettle.Reading) (stored int, err error) {
	var lines []byte
	for _, row := range rows {
		lines = codec.AppendLine(lines, row)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+"/api/v2/write?precision=us&shape=fettle", bytes.NewReader(lines))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+r.note.Token.Reveal())
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := r.http.Do(request)
	if err != nil {
		return 0, fettle.Errorf(fettle.Unavailable, "send readings to the server: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return len(rows), nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return 0, fettle.Errorf(fettle.Unavailable, "read the server's answer: %w", err)
	}
	var said struct{ Message string }
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = response.Status
	}
	switch response.StatusCode {
	case http.StatusUnprocessableEntity:
		dropped := len(rows)
		if found := droppedByServer.FindStringSubmatch(said.Message); found != nil {
			dropped, _ = strconv.Atoi(found[1]) // digits
		}
		return len(rows) - min(dropped, len(rows)), fettle.Errorf(fettle.Invalid, "%s", said.Message)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return 0, fettle.Errorf(fettle.Busy, "%s", said.Message)
	default:
		return 0, errors.New(said.Message)
	}
}
