package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// tellMachine prints the processor and the peer's versions.
func tellMachine(ctx context.Context) error {
	fmt.Printf("%s, %d processors, %s/%s, %s\n", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf("load before: %s\n", strings.Fields(string(load))[0])
	}
	peer := &contender{name: "versions", mode: mode{Threads: 1}}
	defer peer.stop()
	if err := peer.start(ctx); err != nil {
		return err
	}
	a, err := peer.ask(request{Do: "versions"})
	if err != nil {
		return fmt.Errorf("the peer does not run: %w", err)
	}
	fmt.Println(a.Text)
	return nil
}

// tellBout prints a bout, the fastest first.
func tellBout(b *bout) {
	fmt.Printf("\n%s\n", b.title)
	list := slices.Clone(b.contenders)
	slices.SortStableFunc(list, func(x, y *contender) int {
		switch d := y.median() - x.median(); {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return 0
	})
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tmedian/s\tbest/s\tmemory MB\tloss of step 3")
	for _, c := range list {
		if c.err != nil {
			fmt.Fprintf(t, "%s\tout: %v\n", c.name, c.err)
			continue
		}
		loss := "-"
		if n := len(c.check.Losses); n > 0 {
			loss = fmt.Sprintf("%.5f", c.check.Losses[n-1])
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.0f\t%s\n", c.name, c.median(), c.best(), float64(c.bytes)/1e6, loss)
	}
	_ = t.Flush()
}

// processor is the processor's name, as far as the system tells.
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unknown processor"
}
