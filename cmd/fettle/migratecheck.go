package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"fettle"
	"fettle/internal/influx"
)

// A migrated is what a migration did, and whether all is there.
type migrated struct {
	From    time.Time    `json:"from"`
	To      time.Time    `json:"to"`
	Stored  int64        `json:"stored"` // by this run
	Refused int64        `json:"refused"`
	Why     string       `json:"why,omitempty"`
	Sensors []compared   `json:"sensors"`
	Models  []movedModel `json:"models"`
}

// A compared is a sensor's numbers in InfluxDB and here.
type compared struct {
	Machine string  `json:"machine"`
	Sensor  string  `json:"sensor"`
	There   int64   `json:"influx_count"`
	Here    int64   `json:"count"`
	SumThen float64 `json:"influx_sum"`
	Sum     float64 `json:"sum"`
	Verdict string  `json:"verdict"`
}

// The verdicts of a comparison.
const (
	verdictSame   = "same"
	verdictCounts = "same count" // InfluxDB adds up no sum of it
	verdictMore   = "more here"  // readings of other sources too
	verdictFewer  = "fewer here"
	verdictDiffer = "other sum"
)

func (c compared) good() bool { return c.Verdict != verdictFewer && c.Verdict != verdictDiffer }

// A tallied is the same of what is stored here; size is the sum of the absolute
// values, beside which rounding is nothing.
type tallied struct {
	count     int64
	sum, size float64
}

// compare holds what is stored against what InfluxDB says of itself.
func (m *migration) compare(ctx context.Context, data backend) ([]compared, error) {
	var list []compared
	for first := 0; first < len(m.there); {
		machine, last := m.there[first].Machine, first
		for last < len(m.there) && m.there[last].Machine == machine {
			last++
		}
		here, err := tally(ctx, data, machine, stretch{from: m.from, to: m.to})
		if err != nil && fettle.KindOf(err) != fettle.NotFound {
			return nil, err
		}
		for _, t := range m.there[first:last] {
			list = append(list, compareOne(t, here[t.Sensor]))
		}
		first = last
	}
	return list, nil
}

func tally(ctx context.Context, data backend, machine string, s stretch) (map[string]*tallied, error) {
	sensors := map[string]*tallied{}
	err := data.Readings(ctx, machine, s, func(r fettle.Reading) error {
		for _, v := range r.Values {
			t := sensors[v.Sensor]
			if t == nil {
				t = &tallied{}
				sensors[v.Sensor] = t
			}
			t.count++
			t.sum += v.Value
			t.size += math.Abs(v.Value)
		}
		return ctx.Err()
	})
	return sensors, err
}

func compareOne(there influx.Tally, here *tallied) compared {
	if here == nil {
		here = &tallied{}
	}
	c := compared{Machine: there.Machine, Sensor: there.Sensor, There: there.Count, Here: here.count, SumThen: there.Sum, Sum: here.sum}
	const rounding = 1e-9 // the two add in different orders
	switch {
	case c.Here < c.There:
		c.Verdict = verdictFewer
	case c.Here > c.There:
		c.Verdict = verdictMore
	case !there.Summed:
		c.Verdict = verdictCounts
	case math.Abs(c.Sum-c.SumThen) > rounding*here.size:
		c.Verdict = verdictDiffer
	default:
		c.Verdict = verdictSame
	}
	return c
}

// print tells what was done; a migration that lacks something is an error.
func (m *migration) print(out io.Writer, r migrated) error {
	bad, unusable := 0, 0
	for _, c := range r.Sensors {
		if !c.good() {
			bad++
		}
	}
	for _, one := range r.Models {
		if one.Problem != "" {
			unusable++
		}
	}
	if m.JSON {
		if err := printJSON(out, r); err != nil {
			return err
		}
	} else if err := m.printTables(out, r); err != nil {
		return err
	}
	switch {
	case bad > 0:
		return fettle.Errorf(fettle.Conflict, "%d of %d sensors are not here as InfluxDB has them; the same command with --days %d goes through it all again", bad, len(r.Sensors), m.wholeDays())
	case unusable > 0:
		return fettle.Errorf(fettle.Invalid, "%d of %d models could not be imported", unusable, len(r.Models))
	}
	return nil
}

// wholeDays is a --days that reaches back to the begin and is not the one given.
func (m *migration) wholeDays() int {
	days := int(m.to.Sub(m.from).Hours()/24) + 1
	if days == m.Days {
		days++
	}
	return days
}

func (m *migration) printTables(out io.Writer, r migrated) error {
	fmt.Fprintf(out, "%d readings taken over; all from %s to %s now are as follows", r.Stored, r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	if r.Refused > 0 {
		fmt.Fprintf(out, " (%d more were refused, the first for: %s)", r.Refused, r.Why)
	}
	fmt.Fprint(out, ".\n\n")
	t := newTable(out)
	t.row("MACHINE", "SENSOR", "IN INFLUXDB", "HERE", "SUM THERE", "SUM HERE", "RESULT")
	for _, c := range r.Sensors {
		t.row(c.Machine, c.Sensor, c.There, c.Here, fmt.Sprintf("%.6g", c.SumThen), fmt.Sprintf("%.6g", c.Sum), c.Verdict)
	}
	if err := t.Flush(); err != nil || len(r.Models) == 0 {
		return err
	}
	fmt.Fprintln(out)
	t = newTable(out)
	t.row("MODEL", "MACHINE", "SENSORS", "RESULT")
	for _, one := range r.Models {
		switch {
		case one.Problem != "":
			t.row(one.Name, one.Machine, "-", "not imported: "+one.Problem)
		case one.Before:
			t.row(one.Name, one.Machine, strings.Join(one.Imported.Sensors, " "), "is here already")
		default:
			t.row(one.Name, one.Machine, strings.Join(one.Imported.Sensors, " "), "imported")
		}
	}
	return t.Flush()
}

// printPlan says what a migration would do.
func (m *migration) printPlan(out io.Writer) error {
	if m.JSON {
		return printJSON(out, struct {
			From    time.Time  `json:"from"`
			To      time.Time  `json:"to"`
			Begin   time.Time  `json:"begin"`
			Sensors []planned  `json:"sensors"`
			Models  []oldModel `json:"models"`
		}{m.from, m.to, m.done.Until, m.planned(), append([]oldModel{}, m.models...)})
	}
	fmt.Fprintf(out, "Nothing is done. Bucket %s of %s has, from %s to %s:\n\n", m.Bucket, m.Influx, m.from.Format(time.RFC3339), m.to.Format(time.RFC3339))
	t := newTable(out)
	t.row("MACHINE", "SENSOR", "READINGS", "FIRST (UTC)", "LAST (UTC)")
	for _, p := range m.planned() {
		t.row(p.Machine, p.Sensor, p.Count, stamp(p.First), stamp(p.Last))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if m.done.Until.After(m.from) {
		fmt.Fprintf(out, "\nAn earlier run took over all up to %s; the next one goes on there.\n", m.done.Until.Format(time.RFC3339))
	}
	if len(m.models) > 0 {
		fmt.Fprintln(out)
		t = newTable(out)
		t.row("MODEL", "MACHINE", "PLAN")
		for _, one := range m.models {
			said := "would be imported"
			if one.Problem != "" {
				said = "cannot be imported: " + one.Problem
			}
			t.row(one.Name, one.Machine, said)
		}
		return t.Flush()
	}
	return nil
}

// A planned is a sensor that would be taken over.
type planned struct {
	Machine string    `json:"machine"`
	Sensor  string    `json:"sensor"`
	Count   int64     `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

func (m *migration) planned() []planned {
	list := []planned{}
	for _, t := range m.there {
		list = append(list, planned{Machine: t.Machine, Sensor: t.Sensor, Count: t.Count, First: t.First, Last: t.Last})
	}
	return list
}
