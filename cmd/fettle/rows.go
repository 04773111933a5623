package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"fettle"
	"fettle/internal/api"
)

// rowsOf yields the rows of a machine that were asked for.
type rowsOf func(machine string, yield func(fettle.Reading) error) error

// rowsAsTables writes a table a machine, since each has its own sensors.
func rowsAsTables(out io.Writer, machines []machineRows, rows rowsOf) error {
	for i, m := range machines {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintln(out, m.Name)
		t := newTable(out)
		header := append([]any{"TIME (UTC)"}, anyOf(m.Sensors)...)
		found := false
		err := rows(m.Name, func(r fettle.Reading) error {
			if !found {
				t.row(header...)
				found = true
			}
			cells := []any{stamp(r.Time)}
			for _, sensor := range m.Sensors {
				cells = append(cells, number(r, sensor, "-"))
			}
			t.row(cells...)
			return nil
		})
		if err != nil {
			return err
		}
		if !found {
			fmt.Fprintln(out, "no rows")
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if len(machines) == 0 {
		_, err := fmt.Fprintln(out, "No machine has sent anything yet.")
		return err
	}
	return nil
}

// rowsAsCSV writes one table: machine, time, and a column for every sensor that
// any of the machines has.
func rowsAsCSV(out io.Writer, machines []machineRows, rows rowsOf) error {
	var sensors []string
	for _, m := range machines {
		sensors = append(sensors, m.Sensors...)
	}
	slices.Sort(sensors)
	sensors = slices.Compact(sensors)
	header := []string{"machine", "time"}
	for _, sensor := range sensors {
		header = append(header, api.CellOf(sensor))
	}
	return writeCSV(out, header, func(write func(...string) error) error {
		for _, m := range machines {
			err := rows(m.Name, func(r fettle.Reading) error {
				record := []string{api.CellOf(r.Machine), r.Time.UTC().Format(time.RFC3339Nano)}
				for _, sensor := range sensors {
					record = append(record, number(r, sensor, ""))
				}
				return write(record...)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// writeCSV writes a header and the records that fill writes.
func writeCSV(out io.Writer, header []string, fill func(write func(...string) error) error) error {
	w := csv.NewWriter(out)
	if err := w.Write(header); err != nil {
		return err
	}
	if err := fill(func(record ...string) error { return w.Write(record) }); err != nil {
		return err
	}
	w.Flush()
	return w.Error()
}

// rowsAsJSON writes a list of readings, one a line.
func rowsAsJSON(out io.Writer, machines []machineRows, rows rowsOf) error {
	w := bufio.NewWriter(out)
	before := "[\n"
	for _, m := range machines {
		err := rows(m.Name, func(r fettle.Reading) error {
			text, err := json.Marshal(r)
			if err != nil {
				return err
			}
			w.WriteString(before + "  ")
			before = ",\n"
			_, err = w.Write(text)
			return err
		})
		if err != nil {
			return err
		}
	}
	if before == "[\n" {
		w.WriteString("[]\n")
	} else {
		w.WriteString("\n]\n")
	}
	return w.Flush()
}

// number is what a sensor said in a row, or absent.
func number(r fettle.Reading, sensor, absent string) string {
	v, said := r.Value(sensor)
	if !said {
		return absent
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func anyOf(texts []string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		list[i] = text
	}
	return list
}
