package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/plant"
	"fettle/internal/process"
)

const (
	askEvery    = 5 * time.Millisecond // 200 requests a second
	askFor      = 30 * time.Second
	askers      = 8 // connections
	trainedDays = 3
	trainedStep = 10 * time.Second // of the history: some 26,000 rows a machine
)

// training times requests at 200 a second, without a training and while the
// deployed configuration is trained in the server's child. A request counts from
// when it was due, so that one that waits for another is not left out.
func (b *bench) training(ctx context.Context) error {
	s, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer s.Stop()
	names, err := plant.Names(3)
	if err != nil {
		return err
	}
	machines, err := plant.New(plant.Options{Names: names, Start: time.Now().AddDate(0, 0, -trainedDays), Interval: trainedStep})
	if err != nil {
		return err
	}
	if _, err := sendPast(ctx, s, machines); err != nil {
		return err
	}
	if err := caughtUp(ctx, s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var publishing errgroup.Group
	publishing.Go(func() error {
		live, err := plant.New(plant.Options{Names: names, Start: time.Now()})
		if err == nil {
			err = sendLive(ctx, s, live, time.Hour)
		}
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	for _, training := range []bool{false, true} {
		if training {
			if err := startTraining(ctx, s, names[0]); err != nil {
				return err
			}
		}
		if err := askAll(ctx, s, names, training); err != nil {
			return err
		}
	}
	cancel()
	return publishing.Wait()
}

// startTraining asks for a run and waits until it learns.
func startTraining(ctx context.Context, s *process.Server, machine string) error {
	var started struct{ Trainings []fettle.Training }
	if err := s.Post(ctx, "/api/v1/training", map[string]any{"machines": []string{machine}, "forecaster": fettle.ShortForecaster}, &started); err != nil {
		return err
	}
	if len(started.Trainings) != 1 {
		return fmt.Errorf("%d trainings were started, want one", len(started.Trainings))
	}
	path := fmt.Sprint("/api/v1/training/", started.Trainings[0].ID)
	return process.WaitFor(ctx, "the training to learn", func() (bool, error) {
		var run fettle.Training
		err := s.Get(ctx, path, &run)
		if run.State.Over() {
			return false, fmt.Errorf("the training is over before it could be measured beside: %s", run.Reason)
		}
		return run.Progress.Step > 0, err
	})
}

// askAll asks the server in turns, at a steady rate, and prints how long answers
// took.
func askAll(ctx context.Context, s *process.Server, machines []string, training bool) error {
	routes := []string{"/api/v1/machines", "/predict/MACHINE", "/api/v1/machines/MACHINE", "/api/v1/machines/MACHINE/readings?last=50", "/api/v1/alarms"}
	took := make([][]time.Duration, len(routes))
	var mu sync.Mutex // guards took
	tickets := make(chan int)
	begin := time.Now()
	var asking errgroup.Group
	for range askers {
		asking.Go(func() error {
			var failed error
			for i := range tickets { // to the end: nobody else would take them
				route, due := i%len(routes), begin.Add(time.Duration(i)*askEvery)
				if err := ask(ctx, "http://"+s.HTTP+strings.ReplaceAll(routes[route], "MACHINE", machines[i%len(machines)])); err != nil {
					failed = err
				}
				mu.Lock()
				took[route] = append(took[route], time.Since(due))
				mu.Unlock()
			}
			return failed
		})
	}
	for i := range int(askFor / askEvery) {
		if err := waitUntil(ctx, begin.Add(time.Duration(i)*askEvery)); err != nil {
			break
		}
		tickets <- i
	}
	close(tickets)
	if err := asking.Wait(); err != nil {
		return err
	}
	when, goal := "no training", ""
	if training {
		when, goal = "a training beside", "<= 20 ms"
	}
	all := slices.Concat(took...)
	row(fmt.Sprintf("200 requests/s, %s: median", when), "%.2f ms", quantile(all, 0.5), "")
	row("  99 of 100 within", "%.2f ms", quantile(all, 0.99), goal)
	for i, route := range routes {
		row("    of "+route, "%.2f ms", quantile(took[i], 0.99), "")
	}
	return nil
}

func ask(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return nil
}

// quantile is in milliseconds.
func quantile(took []time.Duration, q float64) float64 {
	slices.Sort(took)
	return took[min(len(took)-1, int(q*float64(len(took))))].Seconds() * 1e3
}
