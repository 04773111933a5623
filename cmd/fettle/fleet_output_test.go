package main

import (
	"fmt"
	"strings"
	"testing"

	"fettle"
	"fettle/internal/train"
)

// What a thousand machines say is summarised; what a few say is told in full.
func TestOutputOfManyMachines(t *testing.T) {
	var refused []train.Refusal
	var runs []fettle.Training
	var versions []fettle.Model
	for i := range 1000 {
		name := fmt.Sprintf("m%d", i)
		refused = append(refused, train.Refusal{Reason: name + " has too few rows"})
		runs = append(runs, fettle.Training{ID: uint64(i), Machine: name})
		versions = append(versions, fettle.Model{Name: name, Machine: name, Forecaster: "short", Family: "ridge", State: fettle.ModelChampion})
	}
	if lines := refusalLines(refused); len(lines) != mostRefusals+1 || lines[mostRefusals] != "and 990 more; --json has all reasons" {
		t.Errorf("refusals: %q", lines)
	}
	if lines := refusalLines(refused[:mostRefusals+1]); len(lines) != mostRefusals+1 || lines[mostRefusals] != "m10 has too few rows" {
		t.Errorf("a few refusals: %q", lines)
	}
	var out strings.Builder
	if err := printFewRuns(&out, runs); err != nil || strings.Count(out.String(), "\n") != mostRuns+2 || !strings.Contains(out.String(), "and 950 more; fettle train status --machine NAME") {
		t.Errorf("%v\n%s", err, out.String())
	}
	out.Reset()
	if err := summarize(&out, versions); err != nil || !strings.Contains(out.String(), "short       champion  ridge   1000") || !strings.Contains(out.String(), "1000 versions of 1000 machines; --machine NAME") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
