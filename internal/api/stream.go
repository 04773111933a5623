package api

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"fettle"
	"fettle/internal/export"
)

const parquetType = "application/vnd.apache.parquet"

// A streamFormat is a form in which readings are sent without a limit on rows.
type streamFormat struct {
	contentType string
	suffix      string // of a file that holds it
	writer      func(out io.Writer, sensors []string) export.Writer
}

// stream is the form that was asked for; nil: JSON.
func (in *readingsQuery) stream() *streamFormat {
	switch {
	case in.Format == "csv" || in.Format == "" && wantsCSV(in.Accept):
		return &streamFormat{"text/csv; charset=utf-8", "", newCSV}
	case in.Format == "line":
		return &streamFormat{"text/plain; charset=utf-8", "", export.Lines}
	case in.Format == "parquet":
		return &streamFormat{parquetType, ".parquet", export.Parquet}
	}
	return nil
}

// streamPause is after how many rows a stream is given new time, and looks
// whether anybody still listens.
const streamPause = 1000

// sendStream streams rows. If that fails half-way the connection is broken off,
// so that nobody takes the half for the whole.
func (a *API) sendStream(ctx huma.Context, f streamFormat, machine string, sensors []string, rows func(func(fettle.Reading) error) error) {
	r, w := humago.Unwrap(ctx)
	w.Header().Set("Content-Type", f.contentType)
	w.Header().Add("Vary", "Accept")
	if f.suffix != "" {
		w.Header().Set("Content-Disposition", `attachment; filename="readings`+f.suffix+`"`)
	}
	control := http.NewResponseController(w)
	buffer := bufio.NewWriter(w)
	out := f.writer(buffer, sensors)
	sent := 0
	err := rows(func(reading fettle.Reading) error {
		if sent++; sent%streamPause == 0 {
			if err := r.Context().Err(); err != nil {
				return err
			}
			_ = control.SetWriteDeadline(time.Now().Add(answerTime))
		}
		return out.Write(reading)
	})
	if err == nil {
		err = errors.Join(out.Close(), buffer.Flush())
	}
	if err != nil {
		if r.Context().Err() == nil {
			a.log.Error("readings broken off", "machine", machine, "rows", sent, "err", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// A csvWriter writes a table: times, and a column a sensor, empty where it was
// silent.
type csvWriter struct {
	out     *csv.Writer
	sensors []string
	record  []string
}

func newCSV(out io.Writer, sensors []string) export.Writer {
	w := &csvWriter{out: csv.NewWriter(out), sensors: sensors, record: []string{"time"}}
	for _, sensor := range sensors {
		w.record = append(w.record, CellOf(sensor))
	}
	_ = w.out.Write(w.record) // the writer keeps the error until Close
	return w
}

// Write writes a row.
func (w *csvWriter) Write(r fettle.Reading) error {
	w.record[0] = r.Time.UTC().Format(time.RFC3339Nano)
	for i, sensor := range w.sensors {
		w.record[i+1] = ""
		if v, said := r.Value(sensor); said {
			w.record[i+1] = strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	return w.out.Write(w.record)
}

// Close writes what is left.
func (w *csvWriter) Close() error {
	w.out.Flush()
	return w.out.Error()
}
