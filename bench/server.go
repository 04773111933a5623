package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"fettle"
	"fettle/internal/bridge"
	"fettle/internal/plant"
	"fettle/internal/process"
)

const (
	day = 24 * time.Hour
	// liveTime is how long machines send in step with the clock before memory is
	// taken, so that it is that of a server at work and not of one at rest.
	liveTime = 30 * time.Second
	// batch is how many ticks of the day go into one request.
	batch = 300
)

// server measures `fettle serve` with three machines: its memory after a day of
// readings is judged, while they send on, and how fast it starts over that.
func (b *bench) server(ctx context.Context) error {
	s, err := b.start(ctx)
	if err != nil {
		return err
	}
	took, err := takenAfterADay(ctx, s)
	folder := s.Folder
	s.Stop()
	if err != nil {
		return err
	}
	var ready []float64
	for range rounds {
		s, err := b.startOver(ctx, folder)
		if err != nil {
			return err
		}
		ready = append(ready, s.ReadyAfter.Seconds())
		s.Stop()
	}
	row("serve, 3 machines with a day of readings: ready after", "%.2f s", median(ready), "<= 1 s")
	row("  resident, the day judged, sending on", "%.0f MB", float64(took.resident)/1e6, "<= 60 MB")
	row("  processor while they send on, every 2 s, of one core", "%.1f %%", 100*took.cpu.Seconds()/liveTime.Seconds(), "")
	return nil
}

// taken is what a server takes of the computer.
type taken struct {
	resident int64 // bytes
	cpu      time.Duration
}

// takenAfterADay lets three machines send yesterday as fast as it is taken, and
// then live, which is what counts.
func takenAfterADay(ctx context.Context, s *process.Server) (t taken, err error) {
	machines, err := plant.New(plant.Options{Start: time.Now().Add(-day)})
	if err != nil {
		return t, err
	}
	newest, err := sendPast(ctx, s, machines)
	if err != nil {
		return t, err
	}
	for _, reading := range newest {
		if err := judged(ctx, s, reading); err != nil {
			return t, err
		}
	}
	before, err := s.CPU()
	if err != nil {
		return t, err
	}
	if err := sendLive(ctx, s, machines, liveTime); err != nil {
		return t, err
	}
	after, err := s.CPU()
	if err != nil {
		return t, err
	}
	t.cpu = after - before
	t.resident, err = s.ResidentBytes()
	return t, err
}

// sendPast posts tick after tick until now, and returns the newest readings.
func sendPast(ctx context.Context, s *process.Server, machines *plant.Plant) (newest []fettle.Reading, err error) {
	now := time.Now()
	for past := true; past; {
		var payloads [][]byte
		for range batch {
			at, messages := machines.Next()
			newest = newest[:0]
			for _, m := range messages {
				payloads = append(payloads, m.Payload)
				newest = append(newest, m.Reading)
			}
			if past = at.Before(now); !past {
				break
			}
		}
		if err := post(ctx, s, payloads); err != nil {
			return nil, err
		}
	}
	return newest, nil
}

// post sends readings, and sends them again if the server asks for it: on a busy
// computer a commit may take longer than it waits, and a reading with its time is
// stored once however often it comes.
func post(ctx context.Context, s *process.Server, payloads [][]byte) error {
	for {
		err := postOnce(ctx, s, payloads)
		var busy busyError
		if !errors.As(err, &busy) {
			return err
		}
		if err := waitUntil(ctx, time.Now().Add(time.Second)); err != nil {
			return err
		}
	}
}

// A busyError is an answer that asks for the same once more.
type busyError string

func (e busyError) Error() string { return string(e) }

func postOnce(ctx context.Context, s *process.Server, payloads [][]byte) error {
	body := fmt.Appendf(nil, "[%s]", bytes.Join(payloads, []byte(",")))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.HTTP+"/api/v1/readings", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(response.Body)
		said := fmt.Sprintf("POST readings: %s: %s", response.Status, text)
		if response.StatusCode == http.StatusServiceUnavailable || response.StatusCode == http.StatusTooManyRequests {
			return busyError(said)
		}
		return errors.New(said)
	}
	return nil
}

// judged waits until a reading, the newest of its machine, has its verdict.
func judged(ctx context.Context, s *process.Server, newest fettle.Reading) error {
	return process.WaitFor(ctx, "the day of "+newest.Machine+" to be judged", func() (bool, error) {
		var list struct{ Verdicts []fettle.Verdict }
		err := s.Get(ctx, "/api/v1/machines/"+newest.Machine+"/verdicts?last=1", &list)
		return len(list.Verdicts) == 1 && !list.Verdicts[0].Time.Before(newest.Time), err
	})
}

// sendLive publishes ticks in step with the clock for a while.
func sendLive(ctx context.Context, s *process.Server, machines *plant.Plant, length time.Duration) error {
	client, err := bridge.Dial(ctx, bridge.Options{URL: s.MQTT})
	if err != nil {
		return err
	}
	defer client.Close()
	end := time.Now().Add(length)
	for {
		at, messages := machines.Next()
		if at.After(end) {
			return client.Flush(ctx)
		}
		if err := waitUntil(ctx, at); err != nil {
			return err
		}
		for _, m := range messages {
			if err := client.Publish(ctx, m.Topic, m.Payload, 1); err != nil {
				return err
			}
		}
	}
}

func waitUntil(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
