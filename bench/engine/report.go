package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// tellMachine prints the processor, its peak and how near the kernels come to
// it on the model's own shapes, and the peer's versions.
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
	return tellProducts(ctx)
}

// A product is a line of the kernels' own benchmark: what a product of a layer
// reaches, and the peak measured in turn with it.
var product = regexp.MustCompile(`^BenchmarkProducts/(\w+)/(\w+)/(\d+)x(\d+)x(\d+)\S*\s.*?([\d.]+) %peak\s+([\d.]+) GFLOP/s\s+([\d.]+) peak`)

// assembly chooses the kernels that are measured: the loops in Go take minutes,
// and nobody is served by them on these processors.
const assembly = "Products/avx"

// tellProducts runs that benchmark and sums up each kernel on the shapes of
// linear layers.
func tellProducts(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", assembly, "-benchtime", "1x", "./patchtst/internal/kernel").CombinedOutput()
	if err != nil {
		return fmt.Errorf("measure the kernels: %w\n%s", err, out)
	}
	type group struct{ shares, peaks []float64 }
	groups, names := map[string]*group{}, []string{}
	for line := range strings.Lines(string(out)) {
		m := product.FindStringSubmatch(line)
		if m == nil || atoi(m[4]) < 128 {
			continue // no linear layer
		}
		name := m[1] + "/" + m[2]
		if groups[name] == nil {
			groups[name] = &group{}
			names = append(names, name)
		}
		g := groups[name]
		g.shares, g.peaks = append(g.shares, number(m[6])), append(g.peaks, number(m[8]))
	}
	if len(names) == 0 {
		fmt.Println("this processor has no kernels in assembly: no peak was measured")
		return nil
	}
	fmt.Println("\nlinear layers' products on the models' shapes, one thread, of the measured peak:")
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "kernel\tpeak GFLOP/s\tmedian\tleast\tmost")
	for _, name := range names {
		shares := slices.Sorted(slices.Values(groups[name].shares))
		fmt.Fprintf(t, "%s\t%.0f\t%.0f %%\t%.0f %%\t%.0f %%\n", name, slices.Max(groups[name].peaks), shares[len(shares)/2], shares[0], shares[len(shares)-1])
	}
	return t.Flush()
}

func atoi(s string) int { return int(number(s)) }

func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic("BUG: engine: a number that is none: " + s)
	}
	return v
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

// tellSummary prints, for each bout, how many times as fast we are.
func tellSummary(r *results) {
	fmt.Println("\nours over theirs, medians of turns in the same run:")
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tf32 over f32\tfastest over fastest\tour memory MB\ttheirs")
	for _, b := range r.bouts {
		f32 := func(ours bool) *contender {
			return fastest(b.contenders, func(c *contender) bool { return c.ours == ours && !c.mode.BF16 })
		}
		all := func(ours bool) *contender {
			return fastest(b.contenders, func(c *contender) bool { return c.ours == ours })
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", b.title, ratio(f32(true), f32(false)), ratio(all(true), all(false)), memory(all(true)), memory(all(false)))
	}
	_ = t.Flush()
}

func ratio(a, b *contender) string {
	if a == nil || b == nil || b.median() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a.median()/b.median())
}

func memory(c *contender) string {
	if c == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(c.bytes)/1e6)
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
