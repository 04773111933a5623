package kernel

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestPool runs each piece of many jobs once, with workers that are awake and
// workers that sleep.
func TestPool(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		p := newPool(threads)
		for job := range 300 {
			pieces := job % 41
			counts := make([]atomic.Int64, pieces)
			p.Run(pieces, func(i int) { counts[i].Add(1) })
			for i := range counts {
				if n := counts[i].Load(); n != 1 {
					t.Fatalf("%d threads, job %d: piece %d ran %d times", threads, job, i, n)
				}
			}
			if job%60 == 0 {
				waitUntilAsleep(t, p)
			}
		}
		p.Close()
	}
}

func waitUntilAsleep(t *testing.T, p *Pool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); p.asleep.Load() < int64(p.threads-1); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d workers sleep", p.asleep.Load(), p.threads-1)
		}
	}
}

// TestPoolVisibility wants what one job wrote to be there for the next one,
// whoever runs it (the race detector looks too).
func TestPoolVisibility(t *testing.T) {
	p := newPool(4)
	defer p.Close()
	from, to := make([]int, 64), make([]int, 64)
	for job := range 200 {
		p.Run(len(to), func(i int) { to[i] = from[len(from)-1-i] + 1 })
		for i, v := range to {
			if v != job+1 {
				t.Fatalf("after %d jobs, number %d is %d", job+1, i, v)
			}
		}
		from, to = to, from
	}
}

func TestPoolPanic(t *testing.T) {
	p := newPool(2)
	defer p.Close()
	var ran atomic.Int64
	func() {
		defer func() {
			if cause := recover(); fmt.Sprint(cause) != "BUG: kernel: a piece of a job panicked: no such piece" {
				t.Errorf("Run panicked with %v", cause)
			}
		}()
		p.Run(10, func(i int) {
			ran.Add(1)
			if i == 3 {
				panic("no such piece")
			}
		})
	}()
	if ran.Load() != 10 {
		t.Errorf("%d of 10 pieces ran", ran.Load())
	}
	p.Run(3, func(int) { ran.Add(1) })
	if ran.Load() != 13 {
		t.Errorf("%d pieces ran after a panic; want 13", ran.Load())
	}
}

// BenchmarkPool is what a job costs beside its work.
func BenchmarkPool(b *testing.B) {
	for threads := 1; threads <= runtime.GOMAXPROCS(0); threads *= 2 {
		b.Run(fmt.Sprintf("%d threads", threads), func(b *testing.B) {
			p := NewPool(threads)
			defer p.Close()
			seconds := 1.0
			for b.Loop() {
				seconds = min(seconds, best(1, func() {
					for range 100 {
						p.Run(8, func(int) {})
					}
				})[0])
			}
			b.ReportMetric(seconds/100*1e9, "ns/job")
		})
	}
}
