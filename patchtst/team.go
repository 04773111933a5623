package patchtst

import (
	"sync"
	"sync/atomic"
)

// each runs do for every part from 0 on, on that many threads, and waits for
// all of them. Which thread takes which part is left to chance, so do must
// make nothing depend on it.
func each(threads, parts int, do func(part int)) {
	if threads = min(threads, parts); threads <= 1 {
		for part := range parts {
			do(part)
		}
		return
	}
	var next atomic.Int64
	work := func() {
		for part := next.Add(1) - 1; part < int64(parts); part = next.Add(1) - 1 {
			do(int(part))
		}
	}
	var others sync.WaitGroup
	for range threads - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
}
