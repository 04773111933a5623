package app

import (
	"encoding/json"
	"log/slog"
	"math"
	"path/filepath"
	"testing"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/db"
	"fettle/internal/readings"
)

// A past is a store with the readings of a machine m: a wave every half minute.
func past(t *testing.T, rows int, change func(row int, value float64) float64) *readings.Store {
	t.Helper()
	dir := t.TempDir()
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	store, err := readings.Open(d, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []fettle.Reading
	for i := range rows {
		value := 20 + 3*math.Sin(float64(i)/9) + math.Sin(float64(i)*float64(i))/5
		list = append(list, fettle.Reading{Machine: "m", Time: pastBegin.Add(time.Duration(i) * pastStep), Values: []fettle.Value{{Sensor: "a", Value: change(i, value)}}})
	}
	if _, err := store.Append(list); err != nil {
		t.Fatal(err)
	}
	return store
}

var pastBegin = time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)

const pastStep = 30 * time.Second

func asItWas(_ int, value float64) float64 { return value }

// lived is a life that went through all of a past, still open.
func lived(t *testing.T, store *readings.Store) *life {
	t.Helper()
	b := Backtest{Machine: "m", Past: store, Scratch: t.TempDir(), Told: func(int, time.Time) {}}
	extent, err := b.survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.open(config.Defaults(), extent.first, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.close() })
	if err := l.live(t.Context(), extent); err != nil {
		t.Fatal(err)
	}
	return l
}

// What readings after a moment are changes nothing that was said up to it,
// although they lie in the same block of rows.
func TestBacktestDoesNotLookAhead(t *testing.T) {
	const rows, spike = 1200, 1003
	moment := pastBegin.Add(spike * pastStep)
	said := func(change func(int, float64) float64) (lines []string) {
		l := lived(t, past(t, rows, change))
		for _, f := range l.forecasters() {
			err := l.flow.forecasts.Kept("m", f.Name, pastBegin, moment, func(f fettle.Forecast) error {
				line, err := json.Marshal(f)
				lines = append(lines, string(line))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if len(lines) < 300 {
			t.Errorf("only %d forecasts", len(lines))
		}
		err := l.flow.judge.Range("m", pastBegin, moment, func(v fettle.Verdict) error {
			line, err := json.Marshal(v)
			lines = append(lines, string(line))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	want := said(asItWas)
	got := said(func(row int, value float64) float64 {
		if row >= spike {
			return 1e6
		}
		return value
	})
	if len(want) < spike || len(want) != len(got) {
		t.Fatalf("%d said, %d with a spike to come", len(want), len(got))
	}
	for i := range want {
		if want[i] != got[i] {
			t.Fatalf("said %s, with a spike to come %s", want[i], got[i])
		}
	}
}

// A backtest says how good forecasts were beside the yardsticks, and raises the
// alarm that a server would have raised.
func TestBacktestReports(t *testing.T) {
	const rows, fault = 4000, 3500
	store := past(t, rows, func(row int, value float64) float64 {
		if row >= fault {
			return value + 30
		}
		return value
	})
	told := 0
	report, err := Backtest{Machine: "m", Forecaster: fettle.ShortForecaster, Past: store, Scratch: t.TempDir(), Told: func(rows int, _ time.Time) { told += rows }}.
		Run(t.Context(), config.Defaults(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if report.Rows != rows || told != rows || !report.From.Equal(pastBegin) || report.Verdicts.Judged != rows || report.Verdicts.Learning == 0 || report.Verdicts.Anomalous == 0 {
		t.Errorf("%d told; %+v", told, report)
	}
	if len(report.Forecasters) != 1 || len(report.Forecasters[0].Sensors) != 1 {
		t.Fatalf("%+v", report.Forecasters)
	}
	s := report.Forecasters[0].Sensors[0]
	if s.Steps == 0 || s.MAE >= s.Last.MAE || s.BeatenBy != "" || s.Promise != 0.9 || s.Coverage == nil || *s.Coverage < 0.8 || s.Width == nil {
		t.Errorf("%+v", s)
	}
	if len(report.Alarms) == 0 || report.Alarms[0].Cause != "a" || report.Alarms[0].RaisedAt.Before(pastBegin.Add(fault*pastStep)) {
		t.Errorf("%+v", report.Alarms)
	}
	if len(report.Decisions) == 0 || report.Decisions[0].Time.After(pastBegin.Add(rows*pastStep)) {
		t.Errorf("%+v", report.Decisions)
	}
}

// What cannot be lived is said before anything is done.
func TestBacktestRefuses(t *testing.T) {
	store := past(t, 120, asItWas)
	for _, c := range []struct {
		ask  Backtest
		kind fettle.Kind
		want string
	}{
		{Backtest{Machine: "m", Past: store}, fettle.Unavailable, "m has 120 readings in that time; a backtest needs more than 120, from which its first forecast is learned"},
		{Backtest{Machine: "m", Past: store, From: pastBegin.Add(time.Hour * 24)}, fettle.NotFound, "m has no readings in that time"},
		{Backtest{Machine: "m", Past: store, Forecaster: "weeks"}, fettle.Invalid, `forecaster is weeks; expected one of ["short" "hour" "days"], as forecast.forecasters has them`},
		{Backtest{Machine: "x", Past: store}, fettle.NotFound, `machine "x" has no readings`},
	} {
		_, err := c.ask.Run(t.Context(), config.Defaults(), slog.New(slog.DiscardHandler))
		if err == nil || fettle.KindOf(err) != c.kind || err.Error() != c.want {
			t.Errorf("%v, expected %s", err, c.want)
		}
	}
}
