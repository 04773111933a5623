package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"text/tabwriter"
)

// results are what was measured so far; the first bout says which modes go on to
// the others.
type results struct {
	products []shares
	bouts    []*bout
}

// A row is one figure and what it should be, on a processor that multiplies
// bfloat16 itself; elsewhere it is only told. Without a goal it is told too.
type row struct {
	what       string
	value      float64 // NaN: not measured
	must, goal float64
	unit       string // "x", "%" or "MB", of which less is better
}

// verdict is how the row stands.
func (r row) verdict() string {
	reaches := func(wanted float64) bool {
		if r.unit == "MB" {
			return r.value <= wanted
		}
		return r.value >= wanted
	}
	switch {
	case math.IsNaN(r.value):
		return "not measured"
	case r.goal == 0:
		return ""
	case reaches(r.goal):
		return "goal"
	case reaches(r.must):
		return "must"
	}
	return "missed"
}

func (r row) print(n float64) string {
	switch {
	case n == 0:
		return "-"
	case r.unit == "x":
		return fmt.Sprintf("%.2fx", n)
	}
	return fmt.Sprintf("%.0f %s", n, r.unit)
}

// rows are the figures that the engine is held to, medians of turns in the same
// run.
func (r *results) rows() []row {
	var rows []row
	for _, b := range r.bouts {
		f32 := ratio(b.best(true, true), b.best(false, true))
		all := ratio(b.best(true, false), b.best(false, false))
		switch {
		case b.do == "forecast":
			same := fastest(b.contenders, func(c *contender) bool { return !c.ours && c.mode.Threads == b.threads })
			rows = append(rows, row{b.title + ", on one thread each", ratio(b.best(true, true), same), 1.2, 2, "x"},
				row{b.title + ", on one thread over theirs on one or two", all, 1.2, 2, "x"})
		case b.config == "dropout":
			rows = append(rows, row{b.title + ": f32 over f32", f32, 1.8, 3, "x"}, row{b.title + ": fastest over fastest", all, 0, 0, "x"})
		case b.config == "research":
			rows = append(rows, row{b.title + ": f32 over f32", f32, 2, 3.5, "x"}, row{b.title + ": fastest over fastest", all, 1.4, 2.3, "x"})
		case b.threads == 1:
			rows = append(rows, row{b.title + ": f32 over f32", f32, 0, 0, "x"}, row{b.title + ": fastest over fastest", all, 0, 0, "x"})
		default:
			rows = append(rows, row{b.title + ": f32 over f32", f32, 2, 3.5, "x"}, row{b.title + ": fastest over fastest", all, 1.8, 2.5, "x"})
		}
	}
	for _, s := range r.products {
		if s.kernels == r.products[len(r.products)-1].kernels { // the best that the processor has
			rows = append(rows, row{fmt.Sprintf("products of linear layers, %s, of the peak of %.0f GFLOP/s", s.form, s.peak), s.median(), 80, 95, "%"})
		}
	}
	for _, b := range r.bouts {
		switch {
		case b.threads != 2:
		case b.config == "deployed" && b.batch == 32:
			rows = append(rows, row{"memory, " + b.title, megabytes(b.best(true, false)), 80, 60, "MB"})
		case b.config == "research":
			rows = append(rows, row{"memory, " + b.title, megabytes(b.best(true, false)), 900, 500, "MB"})
		}
	}
	return rows
}

// best is the fastest of ours or of theirs, of float32 alone or of all.
func (b *bout) best(ours, f32 bool) *contender {
	return fastest(b.contenders, func(c *contender) bool { return c.ours == ours && !(f32 && c.mode.BF16) })
}

func ratio(a, b *contender) float64 {
	if a == nil || b == nil || b.median() == 0 {
		return math.NaN()
	}
	return a.median() / b.median()
}

func megabytes(c *contender) float64 {
	if c == nil {
		return math.NaN()
	}
	return float64(c.bytes) / 1e6
}

// tellSummary prints the rows, and what stands behind the ratios.
func tellSummary(r *results) {
	fmt.Println("\nours over theirs by the medians of turns in the same run, and resident memory of our fastest:")
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tmeasured\tmust\tgoal\treached")
	for _, row := range r.rows() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", row.what, row.print(row.value), row.print(row.must), row.print(row.goal), row.verdict())
	}
	_ = t.Flush()
	if len(r.products) > 0 && !strings.HasSuffix(r.products[len(r.products)-1].kernels, "bf16") {
		fmt.Println("This processor does not multiply bfloat16 itself: musts and goals are of one that does.")
	}
}
