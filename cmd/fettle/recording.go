package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/plant"
)

// columnFlags say what the columns of a table mean.
type columnFlags struct {
	Columns    []string `placeholder:"NAME[=SENSOR]" help:"Keep only these columns, and maybe call them otherwise."`
	Drop       []string `placeholder:"NAME" help:"Leave these columns out."`
	TimeColumn string   `placeholder:"NAME" help:"Column of times. Default: datetime, timestamp, time, date or ts, or the first that looks like one."`
	Zone       zone     `default:"UTC" help:"Time zone of times that name none."`
}

func (f columnFlags) options(machine string) plant.ReplayOptions {
	return plant.ReplayOptions{Machine: machine, Columns: f.Columns, Drop: f.Drop, Zone: f.Zone.Location, TimeColumn: f.TimeColumn}
}

// readTable reads a whole recording as columns, in the file's order: rows
// sorted by time, several of one time merged as a store would.
func readTable(path string, o plant.ReplayOptions) (fettle.Window, error) {
	file, err := os.Open(path)
	if err != nil {
		return fettle.Window{}, fmt.Errorf("read table: %w", err)
	}
	defer file.Close()
	recording, err := plant.Replay(file, o)
	if err != nil {
		return fettle.Window{}, fmt.Errorf("read %s: %w", path, err)
	}
	for _, n := range recording.Notes() {
		note("%s", n)
	}
	readings, err := readAll(recording)
	if err != nil {
		return fettle.Window{}, fmt.Errorf("read %s: %w", path, err)
	}
	return columnsOf(readings, o.Machine, recording.Sensors()), nil
}

// readAll reads a recording to its end, and names the lines that it cannot read.
func readAll(recording *plant.Recording) ([]fettle.Reading, error) {
	var readings []fettle.Reading
	bad := 0
	for {
		row, err := recording.Next()
		if line := new(plant.BadLine); errors.As(err, &line) {
			if bad++; bad <= maxNamed {
				note("left out: %v", line)
			}
			continue
		} else if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		readings = append(readings, row.Reading)
	}
	if bad > maxNamed {
		note("left out: %d lines in all", bad)
	}
	if len(readings) == 0 {
		return nil, fettle.Errorf(fettle.Invalid, "no row could be read")
	}
	return readings, nil
}

// columnsOf turns readings into columns.
func columnsOf(readings []fettle.Reading, machine string, sensors []string) fettle.Window {
	slices.SortStableFunc(readings, func(a, b fettle.Reading) int { return a.Time.Compare(b.Time) })
	place := map[string]int{}
	w := fettle.Window{Machine: machine, Sensors: sensors, Columns: make([][]float64, len(sensors))}
	for i, sensor := range sensors {
		place[sensor] = i
	}
	merged := 0
	for _, r := range readings {
		micros := r.Time.UnixMicro()
		if n := w.Rows(); n > 0 && w.TimesMicros[n-1] == micros {
			merged++
		} else {
			w.TimesMicros = append(w.TimesMicros, micros)
			for i := range w.Columns {
				w.Columns[i] = append(w.Columns[i], math.NaN())
			}
		}
		for _, v := range r.Values {
			w.Columns[place[v.Sensor]][w.Rows()-1] = v.Value
		}
	}
	if merged > 0 {
		note("%d rows repeat a time: merged, the later line of a sensor wins", merged)
	}
	return w
}

// ofSensors keeps the columns of a model, in its order.
func ofSensors(w fettle.Window, sensors []string, path string) (fettle.Window, error) {
	chosen := fettle.Window{Machine: w.Machine, TimesMicros: w.TimesMicros}
	for _, sensor := range sensors {
		i := slices.Index(w.Sensors, sensor)
		if i < 0 {
			return fettle.Window{}, fettle.Errorf(fettle.Invalid, "%s has no column %s, which the model needs: it has %s; --columns NAME=%s says which it is",
				path, sensor, strings.Join(w.Sensors, ", "), sensor)
		}
		chosen.Sensors = append(chosen.Sensors, sensor)
		chosen.Columns = append(chosen.Columns, w.Columns[i])
	}
	return chosen, nil
}

// until keeps the rows up to a time.
func until(w fettle.Window, t time.Time) fettle.Window {
	end, found := slices.BinarySearchFunc(w.TimesMicros, t.UnixMicro(), cmp.Compare[int64])
	if found {
		end++
	}
	return w.Slice(0, end)
}
