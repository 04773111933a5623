package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"fettle"
	"fettle/internal/bridge"
	"fettle/internal/plant"
	"fettle/internal/process"
)

const (
	latencyTicks = 334                   // of three messages each
	latencyEvery = 31 * time.Millisecond // about 100 messages a second; no multiple of the server's own rhythm
)

// latency times messages of three machines from their publish to the event that
// shows them, or a newer one of their machine, to a reader of the event stream.
func (b *bench) latency(ctx context.Context) error {
	s, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer s.Stop()
	took, err := publishToEvent(ctx, s)
	if err != nil {
		return err
	}
	slices.Sort(took)
	row("publish to event, 3 machines, 100 messages/s: median", "%.1f ms", took[len(took)/2].Seconds()*1e3, "")
	row("  99 of 100 within", "%.1f ms", took[len(took)*99/100].Seconds()*1e3, "<= 50 ms")
	return nil
}

func publishToEvent(ctx context.Context, s *process.Server) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := openStream(ctx, s)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	w := &watch{waiting: map[string][]published{}}
	ended := make(chan error, 1)
	go func() { ended <- w.read(stream) }()
	if err := w.publish(ctx, s); err != nil {
		return nil, err
	}
	err = process.WaitFor(ctx, "the last events", func() (bool, error) {
		select {
		case err := <-ended:
			return false, fmt.Errorf("event stream ended: %w", err)
		default:
			return w.seen() == 3*latencyTicks, nil
		}
	})
	stream.Close()
	if err == nil {
		<-ended
	}
	return w.took, err
}

// openStream follows the readings of all machines, and returns once the server
// has begun to answer.
func openStream(ctx context.Context, s *process.Server) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+"/api/v1/events?kinds=readings", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("GET events: %s", response.Status)
	}
	return response.Body, nil
}

// A watch knows what was published and not seen yet.
type watch struct {
	mu      sync.Mutex
	waiting map[string][]published // by machine, oldest first
	took    []time.Duration
}

type published struct{ time, at time.Time } // the reading's time, and the clock's

// publish sends the machines' ticks in step with the clock.
func (w *watch) publish(ctx context.Context, s *process.Server) error {
	client, err := bridge.Dial(ctx, bridge.Options{URL: s.MQTT})
	if err != nil {
		return err
	}
	defer client.Close()
	machines, err := plant.New(plant.Options{Start: time.Now(), Interval: latencyEvery})
	if err != nil {
		return err
	}
	for range latencyTicks {
		at, messages := machines.Next()
		if err := waitUntil(ctx, at); err != nil {
			return err
		}
		for _, m := range messages {
			w.sent(m.Reading)
			if err := client.Publish(ctx, m.Topic, m.Payload, 1); err != nil {
				return err
			}
		}
	}
	return client.Flush(ctx)
}

func (w *watch) sent(r fettle.Reading) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[r.Machine] = append(w.waiting[r.Machine], published{r.Time.Truncate(time.Microsecond), time.Now()})
}

// read takes events from the stream until it ends.
func (w *watch) read(stream io.Reader) error {
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		data, found := strings.CutPrefix(lines.Text(), "data: ")
		if !found {
			continue
		}
		var event struct {
			Machine string
			Data    struct{ Time time.Time }
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return err
		}
		w.show(event.Machine, event.Data.Time, time.Now())
	}
	return lines.Err()
}

// show books an event: all that waits for it or for an older one is seen.
func (w *watch) show(machine string, newest, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := w.waiting[machine]
	for len(waiting) > 0 && !waiting[0].time.After(newest) {
		w.took = append(w.took, now.Sub(waiting[0].at))
		waiting = waiting[1:]
	}
	w.waiting[machine] = waiting
}

func (w *watch) seen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.took)
}
