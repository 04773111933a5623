package forecast

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// A machine's ticks come in the order of their time, whatever forecaster's they
// are, and each forecaster's in its own rhythm.
func TestTicksOfAllForecastersComeInOrder(t *testing.T) {
	b := newBench(t)
	b.plans = []Forecaster{Short(), {Name: "minutes", Step: time.Minute, Context: 4, Steps: 2, Interval: 2 * time.Minute}}
	b.restart()
	b.store(wave(271, 2*time.Second)) // up to 9:00
	var got []string
	for {
		tick, due := b.engine.Due("press", b.watermark())
		if !due {
			break
		}
		got = append(got, tick.Forecaster+" "+tick.At.Sub(origin).String())
		if _, err := b.engine.Forecast(t.Context(), "press", tick); err != nil && fettle.KindOf(err) != fettle.Unavailable {
			t.Fatal(err)
		}
	}
	want := []string{
		"short 2m0s", "short 3m0s", "short 4m0s", "minutes 4m0s", "short 5m0s", "short 6m0s", "minutes 6m0s",
		"short 7m0s", "short 8m0s", "minutes 8m0s", "short 9m0s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("ticks\n%q, want\n%q", got, want)
	}
	if next := b.engine.Next("press", "minutes"); next.Sub(origin) != 10*time.Minute {
		t.Errorf("next at %s", next)
	}
	b.restart()
	if tick, due := b.engine.Due("press", b.watermark()); due {
		t.Errorf("due again after a restart: %v", tick)
	}
}

func TestForecasterWithoutDataSaysWhatIsMissing(t *testing.T) {
	b := newBench(t)
	b.plans = nil
	b.restart()
	b.store(wave(1000, 2*time.Second)) // 33 minutes
	err := b.engine.Explain("press", "hour")
	if want := "have 33 of 360 steps of 1m to fit from, enough at 2026-03-01T06:00:00Z at the earliest"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if short := missing(err); short == nil || short.Have != 33 || short.Need != 360 || fettle.ReasonOf(err) != ReasonNotEnough {
		t.Errorf("%+v", short)
	}
	if err := b.engine.Explain("press", "weeks"); fettle.ReasonOf(err) != ReasonScale || fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("of no forecaster: %v", err)
	}
	if _, err := b.engine.Fresh(t.Context(), "press", "weeks"); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("of no forecaster: %v", err)
	}
}

// What was kept before there were several forecasters is the short one's.
func TestRecordOfTheFirstFormat(t *testing.T) {
	b := newBench(t)
	b.store(wave(300, 2*time.Second))
	b.learn(b.watermark())
	b.ticks(b.watermark())
	before, _ := b.engine.Latest("press", "short")
	m := b.engine.memoriesOf("press")[0]
	value, _, err := b.db.Get(m.key())
	if err != nil {
		t.Fatal(err)
	}
	keep := func(from, to string) {
		text := string(value)
		if text = strings.Replace(text, from, to, 1); text == string(value) {
			t.Fatalf("no %s in %s", from, value)
		}
		batch := b.db.NewBatch()
		batch.Set(m.key(), []byte(strings.Replace(text, `"forecaster":"short",`, "", 1)))
		if err := b.db.Commit(batch, db.Synced); err != nil {
			t.Fatal(err)
		}
		b.restart()
	}
	keep(`"format":2,`, "")
	if after, found := b.engine.Latest("press", "short"); !found || !reflect.DeepEqual(before, after) {
		t.Errorf("before\n%+v\nafter\n%+v", before, after)
	}
	keep(`"format":2,`, `"format":3,`)
	if made, found := b.engine.Latest("press", "short"); found {
		t.Errorf("a record of a later format was read: %+v", made)
	}
}
