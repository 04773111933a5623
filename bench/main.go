// Command bench measures what the README promises, beside the real peer in the
// same run: the size of the binary, start-up, memory, MQTT messages acknowledged
// a second (Mosquitto beside it, interleaved), messages taken over from a
// Mosquitto next door, and the time from a publish to its event. It asserts nothing; it prints the processor, the versions, and
// ratios.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"fettle/internal/process"
)

// rounds is how often a thing is measured, ours and the peer taking turns;
// medians are printed.
const rounds = 5

func main() {
	binary := flag.String("fettle", "bin/fettle", "the built, stripped program")
	part := flag.String("part", "", "only this: server, throughput, latency or outside; empty: all of them. Or fleet or training, which take long")
	machines := flag.Int("machines", 1000, "with how many the part fleet begins")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *binary, *part, *machines); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, only string, machines int) error {
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	// Beside the binary, because a temporary folder is often no disk at all, and
	// then a synced commit would cost nothing.
	folder, err := os.MkdirTemp(filepath.Dir(binary), "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	b := &bench{binary: binary, folder: folder, machines: machines}
	fmt.Printf("%s, %d cores, %s; peer: %s; medians of %d interleaved rounds%s\n\n",
		process.Processor(), runtime.NumCPU(), runtime.Version(), process.MosquittoVersion(ctx), rounds, loadBefore())
	fmt.Printf("%-62s %12s %14s\n", "", "measured", "goal")
	row("binary, stripped", "%.1f MB", float64(info.Size())/1e6, "<= 40 MB")
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
		long    bool // only if it is asked for
	}{
		{"server", b.server, false}, {"throughput", b.throughput, false}, {"latency", b.latency, false}, {"outside", b.outside, false},
		{"fleet", b.fleet, true}, {"training", b.training, true},
	} {
		if only != part.name && (only != "" || part.long) {
			continue
		}
		if err := part.measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A bench runs servers of one binary, each over a new folder.
type bench struct {
	binary, folder string
	machines       int // of the smallest fleet
	started        int
}

// start runs a server over a new folder.
func (b *bench) start(ctx context.Context) (*process.Server, error) {
	b.started++
	return b.startOver(ctx, filepath.Join(b.folder, fmt.Sprint("server-", b.started)))
}

// startOver runs a server over a folder that is there.
func (b *bench) startOver(ctx context.Context, folder string) (*process.Server, error) {
	return process.Start(ctx, b.binary, folder)
}

// loadBefore says how busy the computer was, if it tells: figures taken beside
// other work are worth less.
func loadBefore() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	minute, _, _ := strings.Cut(string(text), " ")
	return "; load average before: " + minute
}

func row(what, format string, value float64, goal string) {
	fmt.Printf("%-62s %12s %14s\n", what, fmt.Sprintf(format, value), goal)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
