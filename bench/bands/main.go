// Command bands measures how well the bands of forecasts hold: on simulated
// machines, on the NAB machine temperature, and on both after a level shift and
// after a doubling of the noise. It lives through their readings by event time
// with the program's own engine, and counts for itself.
//
//	go run ./bench/bands [-nab machine_temperature_system_failure.csv] [-hours 36]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"fettle"
)

// The goal: so many of the 500 newest readings within the band, for so many of
// all (machine, sensor, step), and again so soon after a change.
const (
	window        = 500
	lowest        = 0.87
	highest       = 0.93
	goalShare     = 0.95
	goalRecovered = 300
)

func main() {
	nab := flag.String("nab", "", "NAB's machine_temperature_system_failure.csv")
	hours := flag.Int("hours", 36, "how many hours of the simulated plant, a reading every two seconds")
	flag.Parse()
	if err := run(*nab, *hours); err != nil {
		fmt.Fprintln(os.Stderr, "bands:", err)
		os.Exit(1)
	}
}

func run(nab string, hours int) error {
	sources := []source{plantSource(hours), syntheticSource()}
	if nab != "" {
		series, err := nabSource(nab)
		if err != nil {
			return err
		}
		sources = append(sources, series)
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "\t(machine, sensor, step)\tcoverage\tin %.0f..%.0f %% at the end\tat all times\twidth / best fixed\tback in <= %d\tbeaten by a yardstick\tworst drift\t\n", 100*lowest, 100*highest, goalRecovered)
	for _, s := range sources {
		for _, change := range changes {
			machines, err := s.read()
			if err != nil {
				return err
			}
			change.apply(machines)
			r, err := live(context.Background(), machines, change.by != nil)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			r.print(out, s.name+change.name)
		}
	}
	fmt.Fprintf(out, "goal\t\t\t%.0f %%\t\t\t%.0f %%\t\t\t\n", 100*goalShare, 100*goalShare)
	return out.Flush()
}

// A source is where readings come from.
type source struct {
	name string
	read func() (map[string][]fettle.Reading, error) // by machine
}

// origin is when the simulated plant starts.
var origin = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
