// Command spark measures what training many small machines on a Spark cluster
// costs over training them here, on the same cores: both with as many workers at
// once, in turns, by one server. It asserts nothing; it prints the processor, the
// load, times a machine, what moves, and the server's memory.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/config"
	"fettle/internal/db"
	"fettle/internal/process"
	"fettle/internal/readings"
)

const (
	slots  = 2    // of the cluster, and workers at once here
	rows   = 2000 // of each machine, of two sensors
	preset = `{"context":16,"horizon":4,"patch":4,"stride":4,"d_model":8,"heads":2,"layers":1,"ffn":8,"epochs":15,"patience":0,"batch":16,"learning_rate":0.01}`
)

func main() {
	binary := flag.String("fettle", "bin/fettle", "the built, stripped program")
	machines := flag.Int("machines", 200, "how many are trained")
	rounds := flag.Int("rounds", 2, "how often, here and on the cluster in turns")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *binary, *machines, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "spark:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, machines, rounds int) error {
	beside, err := filepath.Abs(filepath.Dir(binary)) // on a disk, as a temporary folder often is not
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(beside, "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	cluster, err := process.StartSpark(ctx, "scripts/peers/spark.sh", filepath.Join(folder, "spark"), process.SparkOptions{Workers: slots})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	b := bench{folder: filepath.Join(folder, "data"), names: make([]string, machines)}
	if err := b.fill(); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"TRAINING_SPARK_URL": cluster.URL, "TRAINING_SPARK_PARALLEL": strconv.Itoa(2 * slots), // one waits for each that runs
		"TRAINING_PARALLEL": strconv.Itoa(slots), "TRAINING_THREADS": "1", "FORECAST_FORECASTERS": "[]", "TRAINING_DRIFT": "off", "TRAINING_SCHEDULE": "",
	} {
		if err := os.Setenv("FETTLE_"+name, value); err != nil {
			return err
		}
	}
	if b.server, err = process.Start(ctx, binary, b.folder); err != nil {
		return err
	}
	defer b.server.Stop()
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s, %d cores, %s; Spark %d workers of one core; load average before: %s\n", process.Processor(), runtime.NumCPU(), runtime.Version(), slots, strings.TrimSpace(string(load)))
	fmt.Printf("%d machines of %d rows of 2 sensors, 15 epochs; %d trainings at once; a slot's time a machine, and the worker's own in it\n\n", machines, rows, slots)
	return b.compare(ctx, rounds)
}

// compare trains all machines here and there, in turns.
func (b *bench) compare(ctx context.Context, rounds int) error {
	if _, err := b.train(ctx, "spark", b.names[:slots]); err != nil { // the cluster starts its executors
		return err
	}
	var here, there []float64
	for range rounds {
		for _, where := range []struct {
			on   string
			into *[]float64
		}{{"local", &here}, {"spark", &there}} {
			took, err := b.train(ctx, where.on, b.names)
			if err != nil {
				return err
			}
			*where.into = append(*where.into, took.slot)
			fmt.Printf("%-6s %6.0f ms a machine, %6.0f ms of it the worker; all after %.1f s\n", where.on, 1000*took.slot, 1000*took.worker, took.wall)
		}
	}
	fmt.Printf("\noverhead a machine on the same cores: %.0f ms (goal <= 100)\n", 1000*(median(there)-median(here)))
	peak, err := b.server.PeakBytes()
	if err != nil {
		return err
	}
	fmt.Printf("fettle's own memory at most: %d MiB (goal <= 100 MB)\n", peak>>20)
	return nil
}

type bench struct {
	folder string
	names  []string
	server *process.Server
}

// fill gives every machine readings of its own.
func (b *bench) fill() error {
	store, err := db.Open(config.Data{Dir: b.folder}.Store(), db.Options{})
	if err != nil {
		return err
	}
	stored, err := readings.Open(store, b.folder, nil)
	if err != nil {
		return err
	}
	chance := rand.New(rand.NewPCG(1, 2))
	for i := range b.names {
		b.names[i] = fmt.Sprintf("machine-%03d", i)
		history := make([]fettle.Reading, rows)
		x, y := 0.2+chance.Float64()/2, 0.2+chance.Float64()/2
		for j := range history {
			x, y = 3.7*x*(1-x), 3.7*y*(1-y)
			history[j] = fettle.Reading{Machine: b.names[i], Time: time.Date(2026, 3, 2, 7, 0, j, 0, time.UTC), Values: []fettle.Value{{Sensor: "a", Value: x}, {Sensor: "b", Value: y}}}
		}
		if _, err := stored.Append(history); err != nil {
			return err
		}
	}
	return store.Close()
}

// taken are seconds.
type taken struct{ wall, slot, worker float64 }

// train trains machines somewhere and waits until all are done.
func (b *bench) train(ctx context.Context, on string, machines []string) (taken, error) {
	out, err := b.server.Command(ctx, append([]string{"train", "--json", "--on", on, "--forecaster", fettle.ShortForecaster, "--preset", preset}, machines...)...)
	if err != nil {
		return taken{}, err
	}
	var asked api.TrainingStarted
	if err := json.Unmarshal([]byte(out), &asked); err != nil {
		return taken{}, fmt.Errorf("%w: %s", err, out)
	}
	begin, end, worker := asked.Trainings[0].QueuedAt, time.Time{}, 0.0
	for _, run := range asked.Trainings {
		for !run.State.Over() {
			select {
			case <-ctx.Done():
				return taken{}, ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
			if err := b.server.Get(ctx, "/api/v1/training/"+strconv.FormatUint(run.ID, 10), &run); err != nil {
				return taken{}, err
			}
		}
		if run.State != fettle.TrainingSucceeded {
			return taken{}, fmt.Errorf("run %d of %s: %s", run.ID, run.Machine, run.Reason)
		}
		if worker += run.Seconds; run.EndedAt.After(end) {
			end = *run.EndedAt
		}
	}
	wall, n := end.Sub(begin).Seconds(), float64(len(machines))
	return taken{wall, wall * slots / n, worker / n}, nil
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
