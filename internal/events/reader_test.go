package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fettle"
)

func TestWaitReturnsWhatThereIs(t *testing.T) {
	r := newRoom(t)
	for i := range 5 {
		r.append(fettle.EventAlarm, "m", i)
	}
	for _, c := range []struct {
		after uint64
		max   int
		want  string
	}{
		{0, 0, "alarm m 0, alarm m 1, alarm m 2, alarm m 3, alarm m 4"},
		{2, 2, "alarm m 2, alarm m 3"},
		{4, 1e9, "alarm m 4"},
	} {
		got, err := r.Wait(t.Context(), c.after, Filter{}, c.max)
		if err != nil || told(got) != c.want {
			t.Errorf("after %d at most %d: %s, err %v; expected %s", c.after, c.max, told(got), err, c.want)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	r := newRoom(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		got, err := r.Wait(ctx, 0, Filter{}, 0)
		if len(got) != 0 || err != nil || time.Since(began) != 20*time.Second {
			t.Errorf("after %v: %v, err %v", time.Since(began), got, err)
		}
	})
}

func TestWaitIsWokenByWhatItWantsOnly(t *testing.T) {
	r := newRoom(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			r.append(fettle.EventReadings, "other", 1)
			time.Sleep(time.Second)
			r.append(fettle.EventReadings, "m", 2)
		}()
		got, err := r.Wait(t.Context(), 0, Filter{Machine: "m"}, 0)
		if told(got) != "readings m 2" || err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("after %v: %s, err %v", time.Since(began), told(got), err)
		}
	})
}

func TestReaderWaitsForEvents(t *testing.T) {
	r := newRoom(t)
	synctest.Test(t, func(t *testing.T) {
		reader := r.Subscribe(r.LastNumber(), Filter{})
		go func() {
			for i := range 3 {
				time.Sleep(time.Second)
				r.append(fettle.EventReadings, "m", i)
			}
		}()
		began := time.Now()
		for i := range 3 {
			e, err := reader.Next(t.Context())
			if err != nil || string(e.Data) != strconv.Itoa(i) || time.Since(began) != time.Duration(i+1)*time.Second {
				t.Errorf("after %v: %+v, err %v", time.Since(began), e, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := reader.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without events: %v", err)
		}
		time.AfterFunc(time.Second, reader.Close)
		if _, err := reader.Next(t.Context()); fettle.KindOf(err) != fettle.Unavailable {
			t.Errorf("closed: %v", err)
		}
		reader.Close()
		r.append(fettle.EventReadings, "m", 3)
		if _, err := reader.Next(t.Context()); fettle.KindOf(err) != fettle.Unavailable {
			t.Errorf("still closed: %v", err)
		}
	})
}

// A reader that reads one event while hundreds are written sees every alarm,
// and of the curves the newest.
func TestSlowReaderMissesNoAlarm(t *testing.T) {
	r := newRoom(t)
	reader := r.Subscribe(0, Filter{})
	read := func() fettle.Event {
		e, err := reader.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	alarms, curves, number := 0, 0, uint64(0)
	for round := range 50 {
		for i := range 400 {
			r.append(fettle.EventReadings, fmt.Sprintf("m%d", i%3), round)
		}
		r.append(fettle.EventAlarm, "m0", round)
		e := read()
		for e.Kind != fettle.EventAlarm {
			if e.Number <= number {
				t.Fatalf("number %d comes after %d", e.Number, number)
			}
			number = e.Number
			curves++
			e = read()
		}
		if string(e.Data) != strconv.Itoa(alarms) {
			t.Fatalf("alarm %s comes as number %d", e.Data, alarms)
		}
		alarms, number = alarms+1, e.Number
	}
	if curves > 3*50+readerBatch {
		t.Errorf("%d curves for a slow reader of three machines", curves)
	}
}

func TestManyWritersAndReaders(t *testing.T) {
	r := newRoom(t)
	const writers, alarms = 4, 300
	var readers sync.WaitGroup
	for range 3 {
		reader := r.Subscribe(0, Filter{})
		readers.Go(func() {
			defer reader.Close()
			next := map[string]int{}
			number := uint64(0)
			for seen := 0; seen < writers*alarms; {
				e, err := reader.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if e.Number <= number {
					t.Errorf("number %d comes after %d", e.Number, number)
				}
				number = e.Number
				if e.Kind != fettle.EventAlarm {
					continue
				}
				if string(e.Data) != strconv.Itoa(next[e.Machine]) {
					t.Errorf("alarm %s of %s comes as number %d", e.Data, e.Machine, next[e.Machine])
				}
				next[e.Machine]++
				seen++
			}
		})
	}
	r.Subscribe(0, Filter{}) // one that never reads
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			machine := fmt.Sprintf("m%d", w)
			for i := range alarms {
				for range 20 {
					r.append(fettle.EventReadings, machine, i)
				}
				r.append(fettle.EventAlarm, machine, i)
			}
		})
	}
	writing.Wait()
	readers.Wait()
}
