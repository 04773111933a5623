package app

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// usageEvery is how often the processor share is taken.
const usageEvery = 5 * time.Second

// usage watches what the process takes of the machine it runs on.
type usage struct {
	mu         sync.Mutex
	cpuPercent float64 // of one core, over the last usageEvery
}

func (u *usage) run(ctx context.Context) error {
	before, at := processorTime(), time.Now()
	return every(ctx, usageEvery, func() {
		now := processorTime()
		u.mu.Lock()
		u.cpuPercent = 100 * (now - before).Seconds() / time.Since(at).Seconds()
		u.mu.Unlock()
		before, at = now, time.Now()
	})
}

func (u *usage) cpu() float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cpuPercent
}

// heapBytes is what Go's heap holds in use.
func heapBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// heldByGo is what Go holds of the system's memory, stacks and all: close to
// what is resident, where the system does not say that.
func heldByGo() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}
