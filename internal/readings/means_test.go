package readings

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fettle"
)

func compareMeans(t *rapid.T, s *Store, model plain, machine string) {
	if model[machine] == nil {
		return
	}
	width := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 15 * time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "width")
	sensors := rapid.SliceOfNDistinct(someSensor, 1, 5, rapid.ID[string]).Draw(t, "sensors")
	from := someTime.Draw(t, "from")
	to := from.Add(time.Duration(rapid.IntRange(0, MaxMeans/len(sensors)-1).Draw(t, "cells")) * width)
	w, err := s.Means(machine, sensors, from, to, width)
	if err != nil {
		t.Fatal(err)
	}
	var want []plainCell
	for _, r := range model.rows(machine, from, to) {
		begin := r.Time.Truncate(width)
		if begin.Before(from) || begin.Add(width).After(to) {
			continue
		}
		if n := len(want); n == 0 || want[n-1].at != begin.UnixMicro() {
			want = append(want, plainCell{begin.UnixMicro(), make([]stat, len(sensors))})
		}
		for i, sensor := range sensors {
			if v, said := r.Value(sensor); said {
				want[len(want)-1].of[i].add(v)
			}
		}
	}
	if w.Rows() != len(want) {
		t.Fatalf("%d cells, expected %d", w.Rows(), len(want))
	}
	for row, cell := range want {
		if w.TimesMicros[row] != cell.at {
			t.Fatalf("cell %d begins at %v, expected %v", row, fromMicros(w.TimesMicros[row]), fromMicros(cell.at))
		}
		for i, one := range cell.of {
			if got := w.Columns[i][row]; math.IsNaN(got) != (one.count == 0) || one.count > 0 && !near(got, one.mean, one) {
				t.Fatalf("%s is %v on average, expected %+v", sensors[i], got, one)
			}
		}
	}
}

type plainCell struct {
	at int64
	of []stat // (sensors)
}

// Means of minutes and hours of a closed day need its rollups only.
func TestMeansComeFromRollups(t *testing.T) {
	s := openStore(t)
	fillDays(t, s, "m", 3)
	sealAll(t, s, 2)
	raw := filepath.Join(s.dir, "readings", "machine=m")
	away := raw + ".away"
	if err := os.Rename(raw, away); err != nil {
		t.Fatal(err)
	}
	w, err := s.Means("m", []string{"a", "b"}, dayStart, dayStart.Add(48*time.Hour), time.Hour)
	if err := os.Rename(away, raw); err != nil {
		t.Fatal(err)
	}
	if err != nil || w.Rows() != 48 || w.Columns[0][47] != 47*60+29.5 || w.Columns[1][0] != 0.5 {
		t.Errorf("%d hours, %v: %v", w.Rows(), err, w.Columns)
	}
}

func TestMeansAreBounded(t *testing.T) {
	s := openStore(t)
	fillDays(t, s, "m", 1)
	if _, err := s.Means("m", nil, dayStart.AddDate(-1, 0, 0), dayStart.Add(time.Hour), time.Second); err == nil || !strings.Contains(err.Error(), "at most 262144, cells times sensors") {
		t.Error(err)
	}
	if _, err := s.Means("m", nil, dayStart, dayStart.Add(time.Hour), 7*time.Minute); fettle.KindOf(err) != fettle.Invalid {
		t.Error(err)
	}
	if _, err := s.Means("nobody", nil, dayStart, dayStart.Add(time.Hour), time.Minute); fettle.KindOf(err) != fettle.NotFound {
		t.Error(err)
	}
}
