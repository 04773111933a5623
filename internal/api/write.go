package api

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"fettle"
	"fettle/internal/codec"
)

// Limits of a write of line protocol. Its size is bounded, and so is what of it
// is in memory: it is read and stored a batch at a time.
const (
	maxWrite   = 64 << 20 // bytes of one request, after decompression
	batchLines = 5_000    // lines stored at once
	maxWords   = 20       // refused lines that an answer names
)

func (a *API) addWriteRoute(path, id, summary string, query []string) {
	op := huma.Operation{
		Method: http.MethodPost, Path: path, OperationID: id, Tags: []string{tagInflux}, Summary: summary,
		Description: "Answered when all readings are on disk. A machine is named by a tag, see ingest.line_machine_tags, but for lines that fettle itself has written (shape=fettle); org, bucket, db and rp may be anything. " +
			"The key is sent as `Authorization: Token KEY`, or as the password, in p or by Basic authentication. " +
			fmt.Sprintf("At most %d MiB, gzipped or not. ", maxWrite>>20) +
			"Good lines are stored even if others of the same request are refused.",
		RequestBody: &huma.RequestBody{Required: true, Content: content{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}},
		Responses:   map[string]*huma.Response{"204": {Description: "Stored"}, "default": {Description: "What went wrong", Content: a.json(influxError{})}},
	}
	for _, name := range query {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "query", Schema: &huma.Schema{Type: huma.TypeString}})
	}
	a.addPlain(Write, op, a.writeLines)
}

// A write is one request under way.
type write struct {
	*API
	w      http.ResponseWriter
	r      *http.Request
	stored int
	bad    []error // lines that are none, the first of them
	lines  int     // how many these are
	denied []error // readings that the gate refused, the first of them
	rows   int     // how many these are
}

// writeLines stores the body of a request, a batch at a time. Each batch is on
// disk before the next one is read; a client that is told to try again sends all
// of it again, which changes nothing that is stored.
func (a *API) writeLines(w http.ResponseWriter, r *http.Request) {
	precision, known := codec.ParsePrecision(r.URL.Query().Get("precision"))
	if !known {
		writeInfluxError(w, http.StatusBadRequest, influxError{Message: "invalid precision; valid precision units are ns, us, ms, and s"})
		return
	}
	shape := a.cfg.Lines
	switch named := r.URL.Query().Get("shape"); named {
	case "":
	case "fettle":
		shape = codec.OldShape()
	default:
		writeInfluxError(w, http.StatusBadRequest, influxError{Message: fmt.Sprintf("invalid shape %q; expected fettle, for lines that fettle has written, or none", fettle.Shorten(named))})
		return
	}
	body, err := plainBody(r)
	if err != nil {
		writeInfluxError(w, http.StatusBadRequest, influxError{Message: "unable to read data: " + err.Error()})
		return
	}
	t := &write{API: a, w: w, r: r}
	for lines := codec.NewLines(body, shape, precision, a.cfg.Now()); err == nil; {
		limitTime(w, r)
		var rows []fettle.Reading
		var bad codec.Errors
		rows, bad, err = lines.Next(batchLines)
		if !t.take(rows, bad) {
			return // answered
		}
	}
	t.answer(err)
}

// plainBody is the body without its gzip, and bounded.
func plainBody(r *http.Request) (io.Reader, error) {
	body := io.Reader(r.Body)
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "gzip", "x-gzip":
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = unpacked
	case "", "identity":
	default:
		return nil, fmt.Errorf("Content-Encoding is %q; expected gzip or none", fettle.Shorten(encoding))
	}
	return &boundedReader{body, maxWrite}, nil
}

// A boundedReader fails once there is more to read than it may.
type boundedReader struct {
	from io.Reader
	left int
}

var errTooLarge = errors.New("points batch is too large")

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left == 0 {
		if n, err := b.from.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, errTooLarge
	}
	n, err := b.from.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// take stores a batch. False: it could not be, and the client knows.
func (t *write) take(rows []fettle.Reading, bad codec.Errors) bool {
	if len(rows) > 0 {
		n := len(rows)
		result, err := t.Ingest.Submit(t.r.Context(), rows)
		if err != nil && fettle.KindOf(err) != fettle.Invalid {
			t.fail(err)
			return false
		}
		t.stored += result.Stored
		t.rows += n - result.Stored
		if err != nil {
			t.denied = append(t.denied, flatten(err)...)
		}
	}
	if len(bad) > 0 {
		var first *codec.LineError
		errors.As(bad[0], &first)
		t.Ingest.Refuse("http "+t.r.URL.Path, []byte(first.Text), bad)
		t.lines += len(bad)
		t.bad = append(t.bad, bad...)
	}
	t.bad, t.denied = t.bad[:min(len(t.bad), maxWords)], t.denied[:min(len(t.denied), maxWords)]
	return true
}

// fail answers for a batch that is not stored, and should be sent again.
func (t *write) fail(err error) {
	p := t.problemOf(t.r.URL.Path, err)
	writeInfluxError(t.w, p.Status, influxError{Message: "unexpected error writing points to database: " + p.Detail})
}

// answer says how it went, once the body has ended with err.
func (t *write) answer(err error) {
	var tooLong *codec.LineError
	switch {
	case errors.As(err, &tooLong):
		writeInfluxError(t.w, http.StatusRequestEntityTooLarge, influxError{Message: err.Error(), Line: tooLong.Line})
	case errors.Is(err, errTooLarge):
		writeInfluxError(t.w, http.StatusRequestEntityTooLarge, influxError{Message: fmt.Sprintf("unable to read data: %v: more than %d bytes; the %d readings before are stored", err, maxWrite, t.stored)})
	case !errors.Is(err, io.EOF):
		writeInfluxError(t.w, http.StatusBadRequest, influxError{Message: "unable to read data: " + err.Error()})
	case t.lines > 0:
		var first *codec.LineError
		errors.As(t.bad[0], &first)
		partial := ""
		if t.stored > 0 {
			partial = "partial write: "
		}
		writeInfluxError(t.w, http.StatusBadRequest, influxError{Message: partial + listed(t.bad, t.lines, "\n") + t.denials("\n"), Line: first.Line})
	case t.rows > 0:
		writeInfluxError(t.w, http.StatusUnprocessableEntity, influxError{Message: "failure writing points to database: partial write: " + t.denials("")})
	default:
		sayInflux(t.w)
		t.w.WriteHeader(http.StatusNoContent)
	}
}

// denials tells of the readings that the gate refused.
func (t *write) denials(before string) string {
	if t.rows == 0 {
		return ""
	}
	return before + listed(t.denied, len(t.denied), "; ") + fmt.Sprintf(" dropped=%d", t.rows)
}

// listed writes the first errors of so many.
func listed(errs []error, of int, between string) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	text := strings.Join(texts, between)
	if of > len(errs) {
		text += fmt.Sprintf("%sand %d more", between, of-len(errs))
	}
	return text
}
