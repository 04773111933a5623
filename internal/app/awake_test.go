package app

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fettle"
)

func TestWakeSetHandsOutEachMachineOnce(t *testing.T) {
	w := newWakeSet()
	w.add([]fettle.Reading{{Machine: "a"}, {Machine: "a"}, {Machine: "b"}, {Machine: "a"}})
	if w.len() != 2 {
		t.Fatalf("2 machines wait, not %d", w.len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []string
	w.work(ctx, func(machine string) {
		seen = append(seen, machine)
		if len(seen) == 1 {
			w.wake("a") // wakes again while it is worked on: once more afterwards
			w.wake("a")
		}
		if len(seen) == 3 {
			cancel()
		}
	})
	if got := fmt.Sprint(seen); got != "[a b a]" {
		t.Errorf("handed out %s, want [a b a]", got)
	}
}

// A machine that rests is left alone however often it wakes; others are not. It
// is handed out after that, but only if it woke.
func TestWakeSetLetsAMachineRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWakeSet()
		ctx, cancel := context.WithCancel(t.Context())
		var seen []string
		start := time.Now()
		w.wake("a")
		go w.work(ctx, func(machine string) {
			seen = append(seen, fmt.Sprint(machine, time.Since(start)))
			w.rest(machine, 5*time.Second)
		})
		time.Sleep(time.Second)
		w.wake("a")
		w.wake("b")
		synctest.Wait()
		if w.len() != 1 {
			t.Errorf("%d machines are behind, want 1", w.len())
		}
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		if got := fmt.Sprint(seen); got != "[a0s b1s a5s]" || w.len() != 0 || len(w.state) != 0 {
			t.Errorf("handed out %s, want [a0s b1s a5s]; %d left", got, w.len())
		}
	})
}

func TestWakeSetKeepsAMachineWithOneWorker(t *testing.T) {
	w := newWakeSet()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	busy, total := map[string]bool{}, 0
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			w.work(ctx, func(machine string) {
				mu.Lock()
				if busy[machine] {
					t.Errorf("%s is with two workers", machine)
				}
				busy[machine] = true
				mu.Unlock()
				mu.Lock()
				busy[machine] = false
				if total++; total >= 500 {
					cancel()
				}
				mu.Unlock()
				w.wake(machine)
			})
		})
	}
	for i := range 3 {
		w.wake(fmt.Sprint("m", i))
	}
	workers.Wait()
	if total < 500 {
		t.Errorf("%d pieces of work done, want 500", total)
	}
}
