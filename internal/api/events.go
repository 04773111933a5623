package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"fettle"
	"fettle/internal/events"
)

const (
	maxStreams = 500              // event streams and polls open at once
	heartbeat  = 15 * time.Second // of a stream: keeps proxies from cutting it, and shows that it is not held back
	maxPoll    = 1000             // events in one answer
	maxWait    = 60 * time.Second
)

func (a *API) addEvents() {
	op := get("/events", "follow-events", tagAlarms, "Follow what happens: as an event stream, or by long polls")
	op.Description = "With `Accept: text/event-stream` the answer is a stream of server-sent events that never ends; " +
		"`Last-Event-ID` (or after) resumes it. Otherwise the answer is JSON, as soon as there is an event after `after`, " +
		"empty when `wait` is over: for networks that hold streams back. Of readings, forecasts and verdicts a slow reader gets the newest only; the rest is never dropped."
	op.Responses = returns(content{
		"application/json":  {Schema: a.schemaOf(eventList{})},
		"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString, Description: "id is the event's number, event its kind, data the event as in JSON"}},
	})
	add(a, Read, op, a.followEvents)
}

type eventsQuery struct {
	After   int64              `query:"after" minimum:"-1" default:"-1" doc:"Number of the last event already seen; 0: everything still kept; absent: from now on"`
	Wait    string             `query:"wait" default:"0s" doc:"How long a poll may wait for an event, such as 20s; at most 60s"`
	Kinds   []fettle.EventKind `query:"kinds" enum:"readings,forecast,verdict,alarm,model,training,tunnel,settings,silence" doc:"Only these kinds, with commas between them"`
	Machine string             `query:"machine" doc:"Only events of this machine"`
	Accept  string             `header:"Accept" hidden:"true"`
	LastID  string             `header:"Last-Event-ID" doc:"Number of the last event already seen, as browsers send it when they resume a stream"`
}

// eventList answers a poll.
type eventList struct {
	Events []fettle.Event `json:"events"`
	Last   uint64         `json:"last" doc:"What to send as after next time"`
}

func (a *API) followEvents(ctx context.Context, in *eventsQuery) (*huma.StreamResponse, error) {
	wait, err := time.ParseDuration(in.Wait)
	if err != nil || wait < 0 || wait > maxWait {
		return nil, fettle.BadField("bad wait", "query.wait", in.Wait, "a duration from 0s to 60s, such as 20s")
	}
	filter := events.Filter{Kinds: in.Kinds, Machine: in.Machine}
	after := a.resumeAt(in)
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		select {
		case a.streams <- struct{}{}:
			defer func() { <-a.streams }()
		default:
			writeProblem(w, a.problemOf("follow-events", fettle.Errorf(fettle.Busy, "%d clients follow the events already, the limit", maxStreams)))
			return
		}
		// A read deadline that passes while nothing is read ends the request.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		if names(r, "text/event-stream") {
			a.stream(w, r, after, filter)
		} else {
			a.poll(w, r, poll{after, wait, filter})
		}
	}}, nil
}

// resumeAt is the number after which a reader goes on. One from the future (the
// data folder was replaced) means from now on.
func (a *API) resumeAt(in *eventsQuery) uint64 {
	last := a.Events.LastNumber()
	if in.After >= 0 {
		return min(uint64(in.After), last)
	}
	if n, err := strconv.ParseUint(in.LastID, 10, 64); err == nil {
		return min(n, last)
	}
	return last
}

type poll struct {
	after  uint64
	wait   time.Duration
	filter events.Filter
}

// poll answers once, with what there is or what comes within the wait.
func (a *API) poll(w http.ResponseWriter, r *http.Request, p poll) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(p.wait + answerTime))
	ctx, cancel := context.WithTimeout(r.Context(), p.wait)
	defer cancel()
	found, err := a.Events.Wait(ctx, p.after, p.filter, maxPoll)
	if err != nil {
		writeProblem(w, a.problemOf("follow-events", err))
		return
	}
	list := eventList{Events: append([]fettle.Event{}, found...), Last: p.after}
	if n := len(found); n > 0 {
		list.Last = found[n-1].Number
	}
	writeJSON(w, http.StatusOK, list)
}

// stream sends events as they come until the client leaves, the server stops or
// the key is revoked. It says something at once, so that the client can tell a
// stream that is held back from one on which nothing happens.
func (a *API) stream(w http.ResponseWriter, r *http.Request, after uint64, filter events.Filter) {
	caller := callerOf(r.Context())
	reader := a.Events.Subscribe(after, filter)
	defer reader.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "private, no-cache, no-transform")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	err := push(w, []byte("retry: 3000\n: here\n\n"))
	for err == nil {
		beat, cancel := context.WithTimeout(r.Context(), heartbeat)
		e, nothing := reader.Next(beat)
		cancel()
		switch {
		case r.Context().Err() != nil || !a.Keys.alive(caller):
			return
		case nothing == nil:
			err = push(w, frame(e))
		case errors.Is(nothing, context.DeadlineExceeded):
			err = push(w, []byte(": still here\n\n"))
		default:
			a.log.Error("event stream ended", "err", nothing)
			return
		}
	}
}

// frame is an event as a stream carries it.
func frame(e fettle.Event) []byte {
	data, err := marshal(e)
	if err != nil {
		panic("BUG: event is no JSON: " + err.Error())
	}
	return fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", e.Number, e.Kind, data)
}

// push sends a piece of a stream on its way.
func push(w http.ResponseWriter, piece []byte) error {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(answerTime))
	if _, err := w.Write(piece); err != nil {
		return err
	}
	return control.Flush()
}
