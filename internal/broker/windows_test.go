package broker

import (
	"testing"
	"testing/synctest"
)

// All windows together are bounded too, but one message each may always come.
func TestWindowsAreBoundedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newWindows()
		open := func() *window {
			w := &window{all: all, answer: func([]*message) {}}
			w.changed.L = &w.mu
			return w
		}
		large := func() *message { return &message{letter: &letter{payload: make([]byte, windowBytes/2)}} }
		var windows []*window
		var messages [][2]*message
		for all.bytes < windowsBytes {
			w, two := open(), [2]*message{large(), large()}
			w.add(two[0])
			w.add(two[1])
			windows, messages = append(windows, w), append(messages, two)
		}
		late, added := open(), false
		late.add(large()) // it has none
		go func() { late.add(large()); added = true }()
		synctest.Wait()
		if added {
			t.Error("there is room for a second one")
		}
		for i, two := range messages {
			windows[i].settle(two[0], taken, false)
		}
		synctest.Wait()
		if !added {
			t.Error("there is no room for it when others have answered half")
		}
		for _, w := range append(windows, late) {
			w.abandon(taken)
			w.wait()
		}
		if all.bytes != 0 {
			t.Errorf("%d bytes of nothing", all.bytes)
		}
	})
}
