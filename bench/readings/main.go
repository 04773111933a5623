// Command readings measures the store of readings on the simulated plant and
// prints a table. Machines' months of readings go in; what they take of the
// disk, and how fast they are sealed and read, comes out. It measures what the
// server does, in the server's own packages, and asserts nothing. The storage
// engines of Prometheus and VictoriaMetrics get the same readings, if the program
// of bench/readings/peers is there.
//
//	go run ./bench/readings [-days 31] [-machines 1000] [-dir FOLDER] [-peers PROGRAM]
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/plant"
	"fettle/internal/readings"
)

func main() {
	days := flag.Int("days", 31, "days of three machines, a reading every 2 s")
	machines := flag.Int("machines", 1000, "machines whose one day is sealed")
	dir := flag.String("dir", "", "folder on the disk to measure; a temporary one if empty")
	peers := flag.String("peers", "", "program of bench/readings/peers; without it other engines are left out")
	flag.Parse()
	if err := run(*dir, *peers, *days, *machines); err != nil {
		fmt.Fprintln(os.Stderr, "bench readings:", err)
		os.Exit(1)
	}
}

func run(dir, peers string, days, machines int) error {
	dir, err := os.MkdirTemp(dir, "fettle-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("%s, %d cores, %s, %s\n\n", processor(), runtime.NumCPU(), runtime.Version(), versions())
	for _, part := range []struct {
		name string
		run  func(dir string) error
	}{
		{"month", func(dir string) error { return month(dir, days) }},
		{"beside", func(dir string) error {
			if peers == "" {
				return nil
			}
			return beside(peers, dir, days)
		}},
		{"fleet", func(dir string) error { return fleet(dir, machines) }},
		{"alone", alone},
	} {
		if err := part.run(filepath.Join(dir, part.name)); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

type store struct {
	*readings.Store
	db *db.DB
}

func open(dir string) (store, error) {
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{})
	if err != nil {
		return store{}, err
	}
	s, err := readings.Open(d, dir, slog.New(slog.DiscardHandler))
	return store{s, d}, err
}

var begin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// month fills, seals and reads three machines.
func month(dir string, days int) error {
	s, err := open(dir)
	if err != nil {
		return err
	}
	defer s.db.Close()
	rows, took, err := fill(s, days)
	if err != nil {
		return err
	}
	line("rows/s in batches of 5,000, synced", "%.0f", float64(rows)/took.Seconds())
	start := time.Now()
	sealed, err := s.SealAll(context.Background())
	if err != nil {
		return err
	}
	line(fmt.Sprintf("seal %d machine-days of 43,200 rows, each", sealed), "%.1f ms", 1e3*time.Since(start).Seconds()/float64(sealed))
	files := s.Files()
	samples := float64(sealed) * 43_200 * 6
	line("bytes a sample, readings", "%.3f", float64(files.ByKind[readings.Raw])/samples)
	line("bytes a sample, minutes / hours beside them", "%.3f / %.3f", float64(files.ByKind[readings.Minute])/samples, float64(files.ByKind[readings.Hour])/samples)

	machine := s.Machines()[0]
	n := (days - 1) * 43_200
	var best, sum time.Duration = time.Hour, 0
	for range 5 {
		debug.FreeOSMemory()
		start := time.Now()
		w, err := s.Window(machine.Machine, begin.AddDate(0, 0, days-1).Add(-1), n, nil)
		if err != nil || w.Rows() != n {
			return fmt.Errorf("window of %d rows, expected %d: %w", w.Rows(), n, err)
		}
		best = min(best, time.Since(start))
		sum += time.Since(start)
	}
	line(fmt.Sprintf("%d days of a machine as columns (%.1f M samples), best / mean of 5", days-1, float64(n)*6/1e6), "%.0f / %.0f ms", ms(best), ms(sum/5))
	for _, most := range []int{500, 5000} {
		start := time.Now()
		p, err := s.Points(machine.Machine, nil, time.Time{}, time.Time{}, most)
		if err != nil {
			return err
		}
		line(fmt.Sprintf("%d days in at most %d points (%s, %s)", days, most, p.Resolution, p.Step), "%.1f ms", ms(time.Since(start)))
	}
	start = time.Now()
	if _, err := s.Points(machine.Machine, nil, begin.AddDate(0, 0, days-1), time.Time{}, 500); err != nil {
		return err
	}
	line("the open day in at most 500 points", "%.1f ms", ms(time.Since(start)))
	if err := lastWhileWriting(s, machine.Machine); err != nil {
		return err
	}
	start = time.Now()
	r, err := s.Check(context.Background())
	if err != nil || len(r.Faults) > 0 {
		return fmt.Errorf("check: %v %w", r.Faults, err)
	}
	line("check of it all", "%.1f s", time.Since(start).Seconds())
	return nil
}

// newPlant is the three machines of month.
func newPlant() (*plant.Plant, error) {
	return plant.New(plant.Options{Start: begin, Interval: 2 * time.Second, Seed: 1})
}

// fill appends days of the simulated plant in batches.
func fill(s store, days int) (rows int, took time.Duration, err error) {
	p, err := newPlant()
	if err != nil {
		return 0, 0, err
	}
	end := begin.AddDate(0, 0, days)
	var batch []fettle.Reading
	for {
		at, messages := p.Next()
		for _, m := range messages {
			batch = append(batch, m.Reading)
		}
		if len(batch) >= 5000 || !at.Before(end) {
			start := time.Now()
			if _, err := s.Append(batch); err != nil {
				return rows, took, err
			}
			took += time.Since(start)
			rows += len(batch)
			batch = batch[:0]
		}
		if !at.Before(end) {
			return rows, took, nil
		}
	}
}

// lastWhileWriting reads the newest 50 rows while readings come in.
func lastWhileWriting(s store, machine string) error {
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		at := begin.AddDate(0, 2, 0)
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			rows := make([]fettle.Reading, 100)
			for i := range rows {
				at = at.Add(2 * time.Millisecond)
				rows[i] = fettle.Reading{Machine: machine, Time: at, Values: []fettle.Value{{Sensor: "current", Value: 1}}}
			}
			if _, err := s.Append(rows); err != nil {
				done <- err
				return
			}
		}
	}()
	var took []time.Duration
	for range 5000 {
		start := time.Now()
		if _, err := s.Last(machine, time.Time{}, 50); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	close(stop)
	slices.Sort(took)
	line("last 50 rows while writing, p50 / p99", "%.2f / %.2f ms", ms(took[len(took)/2]), ms(took[len(took)*99/100]))
	return <-done
}

// fleet seals one day of many machines.
func fleet(dir string, machines int) error {
	s, err := open(dir)
	if err != nil {
		return err
	}
	defer s.db.Close()
	p, err := plant.New(plant.Options{Start: begin, Interval: 2 * time.Second, Seed: 1, Names: []string{"m"}})
	if err != nil {
		return err
	}
	var day []fettle.Reading
	for range 43_201 {
		_, messages := p.Next()
		day = append(day, messages[0].Reading)
	}
	for n := range machines {
		for i := range day {
			day[i].Machine = fmt.Sprintf("machine-%04d", n)
		}
		if _, err := s.Append(day); err != nil {
			return err
		}
	}
	debug.FreeOSMemory()
	before, worked := resident(), processorTime()
	stop, watched := make(chan struct{}), make(chan error, 1)
	var most int64
	var reads []time.Duration
	go func() { watched <- watch(s, stop, &most, &reads) }()
	start := time.Now()
	// As the server does it: what was not touched since the last round, resting
	// after each day.
	keeper := readings.NewKeeper(readings.KeepConfig{Grace: time.Nanosecond, Spread: time.Nanosecond}, s.Store, slog.New(slog.DiscardHandler))
	for range 2 {
		if err := keeper.Round(context.Background()); err != nil {
			return err
		}
	}
	took := time.Since(start)
	close(stop)
	if err := <-watched; err != nil {
		return err
	}
	worked = processorTime() - worked
	line(fmt.Sprintf("seal %d machine-days in the background", machines), "%.1f s, %.1f of them a core's; %d -> %d MB resident, %d after",
		took.Seconds(), worked.Seconds(), before>>20, most>>20, resident()>>20)
	slices.Sort(reads)
	line("last 50 rows of a machine meanwhile, p50 / p99", "%.2f / %.2f ms", ms(reads[len(reads)/2]), ms(reads[len(reads)*99/100]))
	return nil
}

// watch reads from one machine after the other, and looks at the memory, until
// told to stop.
func watch(s store, stop <-chan struct{}, most *int64, reads *[]time.Duration) error {
	machines := s.Machines()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		case <-time.After(50 * time.Millisecond):
		}
		start := time.Now()
		if _, err := s.Last(machines[i%len(machines)].Machine, time.Time{}, 50); err != nil {
			return err
		}
		*reads = append(*reads, time.Since(start))
		*most = max(*most, resident())
	}
}

// alone appends a row at a time, each synced.
func alone(dir string) error {
	s, err := open(dir)
	if err != nil {
		return err
	}
	defer s.db.Close()
	start := time.Now()
	n := 0
	for ; time.Since(start) < 2*time.Second; n++ {
		row := fettle.Reading{Machine: "m", Time: begin.Add(time.Duration(n) * time.Second), Values: []fettle.Value{{Sensor: "a", Value: float64(n)}}}
		if _, err := s.Append([]fettle.Reading{row}); err != nil {
			return err
		}
	}
	line("rows/s one by one, each synced, one writer", "%.0f", float64(n)/time.Since(start).Seconds())
	return nil
}

func ms(d time.Duration) float64 { return 1e3 * d.Seconds() }

func line(what, format string, args ...any) {
	fmt.Printf("%-75s %s\n", what, fmt.Sprintf(format, args...))
}

// processor names it, where Linux tells.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for l := range strings.Lines(string(text)) {
			if name, found := strings.CutPrefix(l, "model name"); found {
				return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
			}
		}
	}
	return runtime.GOARCH
}

// versions of the libraries that do the work.
func versions() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var list []string
	for _, m := range info.Deps {
		if strings.HasSuffix(m.Path, "/parquet-go") || strings.Contains(m.Path, "/pebble") {
			list = append(list, m.Path+" "+m.Version)
		}
	}
	return strings.Join(list, ", ")
}

// resident is what of the process is in memory, where Linux tells.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// processorTime is what the process has had of all cores, where Linux tells.
func processorTime() time.Duration {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // from the third on
	if len(fields) < 13 {
		return 0
	}
	const tick = 10 * time.Millisecond
	var ticks int64
	for _, field := range fields[11:13] { // in the program, and in the system for it
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}
