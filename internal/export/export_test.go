package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/days"
)

func at(i int) time.Time { return time.Unix(1_764_044_400, int64(i)*1_000_000).UTC() }

// rows draws readings of one machine with sensors that are silent now and then,
// and with tags here and there.
func rows(t *rapid.T, sensors ...string) (all []fettle.Reading) {
	for i := range rapid.IntRange(0, 300).Draw(t, "rows") {
		r := fettle.Reading{Machine: "lathe 1", Time: at(i)}
		for _, sensor := range sensors {
			if rapid.IntRange(0, 3).Draw(t, "said") > 0 {
				r.Values = append(r.Values, fettle.Value{Sensor: sensor, Value: rapid.Float64().Draw(t, "value")})
			}
		}
		if rapid.IntRange(0, 5).Draw(t, "tagged") == 0 {
			r.Tags = map[string]string{"shift": "late, \"2\""}
		}
		if len(r.Values) > 0 {
			all = append(all, r)
		}
	}
	return all
}

func write(t rapid.TB, w Writer, all []fettle.Reading) {
	t.Helper()
	for _, r := range all {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// Lines are read back by fettle as they were.
func TestLinesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rows(t, "a", "b c", "d=e")
		var file bytes.Buffer
		write(t, Lines(&file, nil), all)
		read, bad, err := codec.NewLines(&file, codec.OldShape(), codec.Precision(time.Microsecond), time.Time{}).Next(len(all) + 1)
		if len(bad) > 0 || !errors.Is(err, io.EOF) || fmt.Sprint(read) != fmt.Sprint(all) && len(all) > 0 {
			t.Errorf("%v, %v: read\n%v\nwrote\n%v", bad, err, read, all)
		}
	})
}

// Parquet has every number in its row, whatever the size of the groups.
func TestParquetReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rows(t, "a", "machine", "time")
		var file bytes.Buffer
		w := Parquet(&file, []string{"time", "a", "machine"})
		w.(*parquet).most = rapid.IntRange(1, 400).Draw(t, "most")
		write(t, w, all)
		r, err := days.Open(bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil {
			t.Fatal(err)
		}
		var read []fettle.Reading
		for g := range r.Groups() {
			times := make([]int64, r.Rows(g))
			if err := r.Times(g, times); err != nil {
				t.Fatal(err)
			}
			tags, err := r.Tags(g, 0, r.Rows(g))
			if err != nil {
				t.Fatal(err)
			}
			group := make([]fettle.Reading, len(times))
			for i, sensor := range r.Sensors() {
				column := make([]float64, len(times))
				if err := r.Column(g, i, 0, column); err != nil {
					t.Fatal(err)
				}
				for row, v := range column {
					if !math.IsNaN(v) {
						group[row].Values = append(group[row].Values, fettle.Value{Sensor: sensor, Value: v})
					}
				}
			}
			for row := range group {
				group[row].Machine, group[row].Time = "lathe 1", time.UnixMicro(times[row]).UTC()
				if tags != nil && tags[row] != "" {
					group[row].Tags = map[string]string{"shift": "late, \"2\""}
				}
			}
			read = append(read, group...)
		}
		if len(read) != len(all) || fmt.Sprint(read) != fmt.Sprint(all) && len(all) > 0 {
			t.Errorf("read\n%v\nwrote\n%v", read, all)
		}
	})
}

// Only the sensors asked for are written.
func TestChosenSensors(t *testing.T) {
	var file bytes.Buffer
	write(t, Lines(&file, []string{"b"}), []fettle.Reading{
		{Machine: "m", Time: at(0), Values: []fettle.Value{{Sensor: "a", Value: 1}, {Sensor: "b", Value: 2}}},
		{Machine: "m", Time: at(1), Values: []fettle.Value{{Sensor: "a", Value: 1}}},
	})
	if got := file.String(); got != "sensor_data,workspace_id=m b=2 1764044400000000\n" {
		t.Errorf("%q", got)
	}
}

type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("the disk is full")
	}
	return len(p), nil
}

// What cannot be written is an error, at once or at the end.
func TestFullDisk(t *testing.T) {
	for _, make := range []func(io.Writer, []string) Writer{Parquet, Lines} {
		w := make(&full{left: 100}, []string{"a"})
		var err error
		for i := 0; i < 50_000 && err == nil; i++ {
			err = w.Write(fettle.Reading{Machine: "m", Time: at(i), Values: []fettle.Value{{Sensor: "a", Value: float64(i)}}})
		}
		if err = errors.Join(err, w.Close()); err == nil {
			t.Error("no error")
		}
	}
}
