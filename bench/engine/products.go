package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A product is what the kernels' own benchmark says of one shape: the share of
// the peak, and the peak measured in turn with it.
var product = regexp.MustCompile(`^BenchmarkProducts/(\w+)/(\w+)/(\d+)x(\d+)x(\d+)\S*\s.*?([\d.]+) %peak\s+([\d.]+) GFLOP/s\s+([\d.]+) peak`)

// assembly chooses the kernels that are measured: the loops in Go take minutes,
// and nobody is served by them on these processors.
const assembly = "Products/avx"

// shares are how near one form of product comes to the peak, in percent of it,
// over all shapes of linear layers.
type shares struct {
	kernels, form string
	peak          float64 // GFLOP/s
	sorted        []float64
}

func (s shares) median() float64 { return s.sorted[len(s.sorted)/2] }

// measureProducts runs that benchmark, on one thread.
func measureProducts(ctx context.Context) ([]shares, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", assembly, "-benchtime", "1x", "./patchtst/internal/kernel").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("measure the kernels: %w\n%s", err, out)
	}
	var list []shares
	for line := range strings.Lines(string(out)) {
		m := product.FindStringSubmatch(line)
		if m == nil || number(m[4]) < 128 {
			continue // no linear layer
		}
		i := slices.IndexFunc(list, func(s shares) bool { return s.kernels == m[1] && s.form == m[2] })
		if i < 0 {
			i, list = len(list), append(list, shares{kernels: m[1], form: m[2]})
		}
		list[i].sorted = append(list[i].sorted, number(m[6]))
		list[i].peak = max(list[i].peak, number(m[8]))
	}
	for _, s := range list {
		slices.Sort(s.sorted)
	}
	return list, nil
}

func tellProducts(list []shares) {
	if len(list) == 0 {
		fmt.Println("this processor has no kernels in assembly: no peak was measured")
		return
	}
	fmt.Println("\nlinear layers' products on the models' shapes, one thread, of the measured peak:")
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "kernel\tpeak GFLOP/s\tmedian\tleast\tmost")
	for _, s := range list {
		fmt.Fprintf(t, "%s/%s\t%.0f\t%.0f %%\t%.0f %%\t%.0f %%\n", s.kernels, s.form, s.peak, s.median(), s.sorted[0], s.sorted[len(s.sorted)-1])
	}
	_ = t.Flush()
}

func number(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic("BUG: engine: a number that is none: " + s)
	}
	return v
}
