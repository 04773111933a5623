//go:build story

package forecast

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fettle"
)

// A real machine, a reading every five minutes for eleven weeks, replayed by
// event time with no setting made for it: its step is found, the short
// forecaster looks ahead fifty minutes and the days two days, both better than
// the last value.
func TestReplayOfNAB(t *testing.T) {
	b := newBench(t)
	b.plans = nil
	b.restart()
	rows := readNAB(t)
	b.store(rows)
	actual := map[int64]float64{} // what the machine said, by second
	for _, r := range rows {
		actual[r.Time.Unix()] = r.Values[0].Value
	}
	hours, _, err := History(t.Context(), b.rows, "press", Defaults()[2], HistoryRequest{})
	if err != nil {
		t.Fatal(err)
	}
	hourly := map[int64]float64{}
	for row, at := range hours.TimesMicros {
		hourly[at/1e6] = hours.Columns[0][row]
	}
	replayed := b.replay()
	for _, c := range []struct {
		forecaster string
		step       float64
		actual     map[int64]float64
		steps      int
	}{{"short", 300, actual, 10}, {"days", 3600, hourly, 48}} {
		var errors, lastValue, n float64
		for _, made := range replayed[c.forecaster] {
			if made.StepSeconds != c.step || made.Steps() != c.steps {
				t.Fatalf("%s: %d steps of %g s", c.forecaster, made.Steps(), made.StepSeconds)
			}
			last, found := c.actual[made.Origin.Unix()]
			for h, v := range made.Sensors[0].Values {
				said, known := c.actual[made.TimeOf(h).Unix()]
				if found && known && !math.IsNaN(said) && !math.IsNaN(last) {
					errors, lastValue, n = errors+(said-v)*(said-v), lastValue+(said-last)*(said-last), n+1
				}
			}
		}
		t.Logf("%s: %.0f steps, mean squared error %.3f, of the last value %.3f", c.forecaster, n, errors/n, lastValue/n)
		if n < 10_000 || errors > lastValue {
			t.Errorf("%s: %.0f steps, mean squared error %.3f, of the last value %.3f", c.forecaster, n, errors/n, lastValue/n)
		}
	}
}

// replay works off all ticks, and returns the forecasts of each forecaster.
func (b *bench) replay() map[string][]Made {
	b.Helper()
	made := map[string][]Made{}
	for {
		tick, due := b.engine.Due("press", b.watermark())
		if !due {
			return made
		}
		if _, err := b.engine.Learn(b.Context(), "press", tick, func(string, time.Time, time.Time) []fettle.Interval { return nil }); err != nil {
			b.Fatal(err)
		}
		got, err := b.engine.Forecast(b.Context(), "press", tick)
		if err != nil && fettle.KindOf(err) != fettle.Unavailable {
			b.Fatal(err)
		}
		if err == nil {
			made[tick.Forecaster] = append(made[tick.Forecaster], got)
		}
	}
}

func readNAB(t *testing.T) (rows []fettle.Reading) {
	t.Helper()
	data := os.Getenv("FETTLE_DATA")
	if data == "" {
		t.Fatal("FETTLE_DATA is not set; it names the folder that holds nab/")
	}
	file, err := os.Open(filepath.Join(data, "nab", "machine_temperature_system_failure.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		at, text, _ := strings.Cut(lines.Text(), ",")
		stamp, err := time.Parse(time.DateTime, at)
		if err != nil {
			continue // the head
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, fettle.Reading{Machine: "press", Time: stamp, Values: []fettle.Value{{Sensor: "temperature", Value: v}}})
	}
	return rows
}
