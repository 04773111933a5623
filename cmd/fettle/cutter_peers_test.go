//go:build peers

package main

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fettle/internal/process"
)

// A cut is a way in which a network fails.
type cut int

const (
	cutNot     cut = iota
	cutReset       // connections are refused, those that are open are reset
	cutHole        // what is sent arrives nowhere, and nobody says so
	cutHalfway     // answers break off after some bytes
)

// halfway is after how many bytes.
const halfway = 300

// A cutter is a network between fettle and InfluxDB that fails as it is told.
type cutter struct {
	listener net.Listener
	target   string
	caught   atomic.Int64 // connections that the failure has met
	ended    sync.WaitGroup

	mu      sync.Mutex
	way     cut
	changed chan struct{} // closed when way changes
	open    map[net.Conn]bool
}

func newCutter(t *testing.T, url string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener, target: strings.TrimPrefix(url, "http://"), changed: make(chan struct{}), open: map[net.Conn]bool{}}
	c.ended.Go(c.accept)
	t.Cleanup(func() {
		_ = listener.Close() // that ends accept
		c.set(cutReset)
		c.ended.Wait()
	})
	return c
}

func (c *cutter) url() string { return "http://" + c.listener.Addr().String() }

// set changes the network. Only a hole leaves connections as they are.
func (c *cutter) set(way cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.way = way
	c.caught.Store(0)
	close(c.changed)
	c.changed = make(chan struct{})
	if way == cutHole {
		return
	}
	for conn := range c.open {
		_ = conn.Close() // it may be gone already
	}
}

func (c *cutter) now() (way cut, changed chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.way, c.changed
}

// catch waits until the failure has met so many connections.
func (c *cutter) catch(t *testing.T, n int64) {
	t.Helper()
	err := process.WaitFor(t.Context(), "connections to fail", func() (bool, error) { return c.caught.Load() >= n, nil })
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cutter) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.ended.Go(func() { c.carry(conn) })
	}
}

// carry connects a connection with InfluxDB.
func (c *cutter) carry(near net.Conn) {
	defer near.Close()
	if way, _ := c.now(); way == cutReset {
		c.caught.Add(1)
		_ = near.(*net.TCPConn).SetLinger(0) // a reset instead of an end
		return
	}
	far, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer far.Close()
	c.mu.Lock()
	c.open[near], c.open[far] = true, true
	c.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { c.copy(far, near, false) })
	both.Go(func() { c.copy(near, far, true) })
	both.Wait()
	c.mu.Lock()
	delete(c.open, near)
	delete(c.open, far)
	c.mu.Unlock()
}

// copy carries one direction, and ends both.
func (c *cutter) copy(to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	piece := make([]byte, 16<<10)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		way, changed := c.now()
		switch {
		case way == cutHole:
			c.caught.Add(1)
			<-changed
			return
		case way == cutHalfway && answers:
			c.caught.Add(1)
			_, _ = to.Write(piece[:min(n, halfway)]) // what does not arrive is what this is about
			return
		}
		if _, err := to.Write(piece[:n]); err != nil {
			return
		}
	}
}
