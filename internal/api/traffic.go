package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// How long parts of a request may take. A request that needs more (a stream, a
// long poll, a large CSV) gives itself more.
const (
	bodyTime   = 30 * time.Second // to send us a body
	answerTime = 60 * time.Second // to take our answer
)

// limitTime keeps a slow client from holding a connection for ever.
func limitTime(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	// Not every writer has deadlines (a test's has none); then nobody is slow.
	if r.ContentLength != 0 {
		_ = control.SetReadDeadline(time.Now().Add(bodyTime))
	}
	_ = control.SetWriteDeadline(time.Now().Add(answerTime))
}

// traffic counts what the listeners answer, for /metrics.
type traffic struct {
	set      *metrics.Set
	duration *metrics.PrometheusHistogram
}

func newTraffic() *traffic {
	set := metrics.NewSet()
	return &traffic{set: set, duration: set.NewPrometheusHistogram("fettle_http_request_duration_seconds")}
}

func (t *traffic) count(status int, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	t.set.GetOrCreateCounter(fmt.Sprintf(`fettle_http_requests_total{status="%d"}`, status)).Inc()
	t.duration.Update(took.Seconds())
}

// A watchedWriter remembers the status of an answer.
type watchedWriter struct {
	http.ResponseWriter
	status int
}

// Unwrap lets http.ResponseController find what is below.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status.
func (w *watchedWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write notes the status that it implies.
func (w *watchedWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}
