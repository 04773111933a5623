package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"fettle/internal/bridge"
	"fettle/internal/plant"
	"fettle/internal/process"
)

const (
	// fleetPast is how much history every machine gets, so that it has a ridge of
	// the short forecaster and one of the hour; the days take 18 days.
	fleetPast      = 3*time.Hour + 10*time.Minute
	fleetPastEvery = 10 * time.Second
	fleetEvery     = 2 * time.Second // from message to message of a machine, live
	fleetWarmUp    = 60 * time.Second
	fleetTime      = 5 * time.Minute // the hour's forecasts fall due once in it
	// fleetLate is how far behind its timetable whoever publishes may be; beyond
	// it the computer does not carry so many machines.
	fleetLate = 5 * time.Second
	mostFleet = 16_000
)

// fleet lets machines send every two seconds over MQTT and be judged and forecast
// every minute, and twice as many, until forecasts are left out.
func (b *bench) fleet(ctx context.Context) error {
	for n := b.machines; n <= mostFleet; n *= 2 {
		carried, err := b.fleetOf(ctx, n)
		if err != nil || !carried {
			return err
		}
	}
	return nil
}

// A reckoning is what a server has done and used up to a moment.
type reckoning struct {
	at                    time.Time
	cpu, own              time.Duration // the server's, and that of this program, which publishes
	made, skipped, behind float64
}

func (b *bench) fleetOf(ctx context.Context, n int) (carried bool, err error) {
	s, err := b.start(ctx)
	if err != nil {
		return false, err
	}
	defer s.Stop()
	names, err := plant.Names(n)
	if err != nil {
		return false, err
	}
	began := time.Now()
	if err := sendHistory(ctx, s, names); err != nil {
		return false, err
	}
	caught := time.Since(began)
	live := &liveFleet{names: names, server: s}
	if err := live.run(ctx); err != nil {
		return false, err
	}
	peak, err := s.PeakBytes()
	if err != nil {
		return false, err
	}
	from, to := live.from, live.to
	length := to.at.Sub(from.at)
	made, skipped := to.made-from.made, to.skipped-from.skipped
	wanted := float64(n) * length.Minutes() * (1 + 1.0/5)
	carried = skipped < 0.01*wanted && live.late < fleetLate
	row(fmt.Sprintf("%d machines every %v, forecast every minute: cores used", n, fleetEvery), "%.2f", (to.cpu-from.cpu).Seconds()/length.Seconds(), "")
	row("  and by whoever publishes, beside them", "%.2f", (to.own-from.own).Seconds()/length.Seconds(), "")
	row(fmt.Sprintf("  forecasts a minute, of %.0f due", wanted/length.Minutes()), "%.0f", made/length.Minutes(), "")
	row("  left out", "%.0f", skipped, "0")
	row("  machines that wait to be judged, at most", "%.0f", live.behind, "")
	row("  publishing late by at most", "%.1f s", live.late.Seconds(), "")
	row("  resident, peak", "%.0f MB", float64(peak)/1e6, "")
	row(fmt.Sprintf("  %v of history taken in, judged and learned in", fleetPast), "%.0f s", caught.Seconds(), "")
	if !carried {
		fmt.Printf("  so %d machines are too many for this computer\n", n)
	}
	return carried, nil
}

// sendHistory posts the past of machines and waits until it is judged.
func sendHistory(ctx context.Context, s *process.Server, names []string) error {
	machines, err := plant.New(plant.Options{Names: names, Start: time.Now().Add(-fleetPast), Interval: fleetPastEvery})
	if err != nil {
		return err
	}
	const rows = 5000 // in a request
	var payloads [][]byte
	for now := time.Now(); ; {
		at, messages := machines.Next()
		if at.After(now) {
			break
		}
		for _, m := range messages {
			if payloads = append(payloads, m.Payload); len(payloads) == rows {
				if err := post(ctx, s, payloads); err != nil {
					return err
				}
				payloads = payloads[:0]
			}
		}
	}
	if len(payloads) > 0 {
		if err := post(ctx, s, payloads); err != nil {
			return err
		}
	}
	return caughtUp(ctx, s)
}

// caughtUp waits, for however long it takes, until all that came is judged.
func caughtUp(ctx context.Context, s *process.Server) error {
	for {
		samples, err := metrics(ctx, s)
		if err != nil {
			return err
		}
		if samples["fettle_machines_behind"] == 0 {
			return nil
		}
		if err := waitUntil(ctx, time.Now().Add(time.Second)); err != nil {
			return err
		}
	}
}

// A liveFleet publishes in step with the clock, evenly over each interval.
type liveFleet struct {
	names    []string
	server   *process.Server
	late     time.Duration // at most
	behind   float64       // machines, at most
	from, to reckoning
}

func (f *liveFleet) run(ctx context.Context) error {
	client, err := bridge.Dial(ctx, bridge.Options{URL: f.server.MQTT, Window: 1000})
	if err != nil {
		return err
	}
	defer client.Close()
	began := time.Now()
	machines, err := plant.New(plant.Options{Names: f.names, Start: began, Interval: fleetEvery})
	if err != nil {
		return err
	}
	looked := began
	for {
		at, messages := machines.Next()
		for i, m := range messages {
			due := at.Add(fleetEvery * time.Duration(i) / time.Duration(len(messages)))
			if err := waitUntil(ctx, due); err != nil {
				return err
			}
			if f.from.at.After(began) {
				f.late = max(f.late, time.Since(due))
			}
			if err := client.Publish(ctx, m.Topic, m.Payload, 1); err != nil {
				return err
			}
		}
		switch since := time.Since(began); {
		case f.from.at.IsZero() && since >= fleetWarmUp:
			if f.from, err = reckon(ctx, f.server); err != nil {
				return err
			}
		case since >= fleetWarmUp+fleetTime:
			f.to, err = reckon(ctx, f.server)
			return err
		case since >= fleetWarmUp && time.Since(looked) > 5*time.Second:
			now, err := reckon(ctx, f.server)
			if err != nil {
				return err
			}
			looked, f.behind = time.Now(), max(f.behind, now.behind)
		}
	}
}

func reckon(ctx context.Context, s *process.Server) (reckoning, error) {
	r := reckoning{at: time.Now()}
	samples, err := metrics(ctx, s)
	if err != nil {
		return r, err
	}
	r.made, r.skipped, r.behind = samples["fettle_forecasts_total"], samples["fettle_forecasts_skipped_total"], samples["fettle_machines_behind"]
	if r.cpu, err = process.CPU(s.PID); err != nil {
		return r, err
	}
	r.own, err = process.CPU(os.Getpid())
	return r, err
}

// metrics are the samples of the server without labels.
func metrics(ctx context.Context, s *process.Server) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	samples := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if name, text, found := strings.Cut(lines.Text(), " "); found {
			if value, err := strconv.ParseFloat(text, 64); err == nil {
				samples[name] = value
			}
		}
	}
	return samples, nil
}
