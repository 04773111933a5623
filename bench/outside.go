package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/process"
)

// outside measures how fast readings come over from a Mosquitto next door, each
// acknowledged to it after its synced commit: those that waited there while
// fettle was away, which is as fast as the bridge can be, and those that clients
// publish meanwhile, with publishers, broker and fettle on the same cores.
func (b *bench) outside(ctx context.Context) error {
	const clients, messages, times = 100, 1_200, 3
	packets, err := packetsOf(clients, messages)
	if err != nil {
		return err
	}
	first, second := make([][][]byte, clients), make([][][]byte, clients)
	for i, own := range packets {
		first[i], second[i] = own[:messages/2], own[messages/2:]
	}
	var waited, live, published []float64
	for range times {
		m, err := process.StartMosquitto(ctx, b.folder)
		if err != nil {
			return err
		}
		rates, err := b.outsideRates(ctx, m, first, second)
		m.Stop()
		if err != nil {
			return err
		}
		live, published, waited = append(live, rates[0]), append(published, rates[1]), append(waited, rates[2])
	}
	row("outside broker, what waited there: stored and acknowledged", "%.0f/s", median(waited), ">= 15,000/s")
	row("outside broker, live: stored and acknowledged", "%.0f/s", median(live), "")
	row("  published meanwhile, each client waiting for Mosquitto's answer", "%.0f/s", median(published), "")
	return nil
}

// outsideRates returns the rates of one round: live, published meanwhile, and
// waited.
func (b *bench) outsideRates(ctx context.Context, m *process.Mosquitto, first, second [][][]byte) (rates [3]float64, err error) {
	total := int64(len(first) * len(first[0]))
	if err := os.Setenv("FETTLE_INGEST_MQTT", fmt.Sprintf("[{name: bench, url: 'mqtt://%s'}]", m.Address)); err != nil {
		return rates, err
	}
	defer os.Unsetenv("FETTLE_INGEST_MQTT")
	s, err := b.start(ctx)
	if err != nil {
		return rates, err
	}
	defer func() { s.Stop() }()
	began, err := acknowledged(ctx, s, 0)
	if err != nil {
		return rates, err
	}
	if rates[1], err = publishRate(m.Address, first); err != nil {
		return rates, err
	}
	done, err := acknowledged(ctx, s, total)
	if err != nil {
		return rates, err
	}
	rates[0] = since(began, done)

	folder := s.Folder
	s.Stop()
	if _, err := publishRate(m.Address, second); err != nil {
		return rates, err
	}
	again, err := b.startOver(ctx, folder)
	if err != nil {
		return rates, err
	}
	s = again
	if began, err = acknowledged(ctx, s, 0); err != nil {
		return rates, err
	}
	if done, err = acknowledged(ctx, s, total); err != nil {
		return rates, err
	}
	rates[2] = since(began, done)
	return rates, stored(ctx, s, 2*total)
}

// stored fails unless exactly so many readings are there: a rate of messages that
// are not would be no rate.
func stored(ctx context.Context, s *process.Server, want int64) error {
	var list struct{ Machines []fettle.Machine }
	if err := s.Get(ctx, "/api/v1/machines", &list); err != nil {
		return err
	}
	var rows int64
	for _, m := range list.Machines {
		rows += m.Rows
	}
	if rows != want {
		return fmt.Errorf("%d readings are stored, want %d", rows, want)
	}
	return nil
}

// A tally is how many messages of the outside broker were acknowledged at a
// time.
type tally struct {
	at time.Time
	n  int64
}

// since is the rate between two tallies.
func since(a, b tally) float64 { return float64(b.n-a.n) / b.at.Sub(a.at).Seconds() }

// acknowledged waits until fettle is connected to the outside broker and has
// acknowledged so many messages of it.
func acknowledged(ctx context.Context, s *process.Server, n int64) (now tally, err error) {
	err = process.WaitFor(ctx, fmt.Sprint(n, " messages of the outside broker"), func() (bool, error) {
		var status api.Status
		if err := s.Get(ctx, "/api/v1/status", &status); err != nil {
			return false, err
		}
		b := status.OutsideBrokers[0]
		now = tally{time.Now(), b.Acknowledged}
		return b.Connected && b.Acknowledged >= n, nil
	})
	return now, err
}
