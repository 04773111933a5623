//go:build unix

package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// asSystemd listens as systemd does, and returns what it hears, a datagram at a
// time.
func asSystemd(t *testing.T) <-chan string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // short: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	heard := make(chan string, 1000)
	go func() {
		defer close(heard)
		for buffer := make([]byte, 4096); ; {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			heard <- string(buffer[:n])
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		os.RemoveAll(dir)
	})
	return heard
}

// hear waits for a datagram that begins with a line, and returns it.
func hear(t *testing.T, heard <-chan string, first string) string {
	t.Helper()
	for late := time.After(time.Minute); ; {
		select {
		case text := <-heard:
			if text == first || strings.HasPrefix(text, first+"\n") { // other signs may come between
				return text
			}
		case <-late:
			t.Fatalf("never heard %s", first)
		}
	}
}

// A patient is a program that lives as long as a test lets it.
func patient(alive func(context.Context) error) (p Program, ready chan struct{}) {
	ready = make(chan struct{})
	return Program{
		Run:   func(ctx context.Context) error { <-ctx.Done(); return nil },
		Ready: ready, Alive: alive, Log: slog.New(slog.DiscardHandler),
		Says: func() string { return "page at\nhttp://127.0.0.1:8000" },
	}, ready
}

// start runs a program as a service; end stops it and returns how it ended.
func start(t *testing.T, p Program) (end func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- Run(ctx, false, func() (Program, error) { return p, nil }) }()
	return func() error {
		cancel()
		return <-result
	}
}

func TestLifeIsTold(t *testing.T) {
	heard := asSystemd(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	p, ready := patient(func(context.Context) error { return nil })
	end := start(t, p)
	hear(t, heard, "STATUS=opening the data folder")
	select {
	case text := <-heard:
		t.Errorf("told %q before it was ready", text)
	case <-time.After(50 * time.Millisecond): // more than a sign of life takes
	}
	close(ready)
	if text := hear(t, heard, "READY=1"); text != "READY=1\nSTATUS=page at http://127.0.0.1:8000" {
		t.Errorf("%q", text)
	}
	hear(t, heard, "WATCHDOG=1")
	hear(t, heard, "WATCHDOG=1")
	for _, variable := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if value, set := os.LookupEnv(variable); set {
			t.Errorf("children see %s=%s", variable, value)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	hear(t, heard, "STOPPING=1")
}

// Whoever does not answer gives no sign of life, and says why.
func TestHangingIsNotAlive(t *testing.T) {
	heard := asSystemd(t)
	t.Setenv("WATCHDOG_USEC", "3000")
	var asked atomic.Int32
	p, ready := patient(func(ctx context.Context) error {
		asked.Add(1)
		<-ctx.Done() // it hangs until its time is up
		return errors.New("the gate does not move")
	})
	close(ready)
	end := start(t, p)
	hear(t, heard, "READY=1")
	for range 3 {
		if text := <-heard; text != "STATUS=does not answer itself: the gate does not move" {
			t.Errorf("%q", text)
		}
	}
	if err := end(); err != nil || asked.Load() < 3 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
}

// Without a watchdog, or with one for another process, nobody is asked.
func TestNoWatchdog(t *testing.T) {
	for _, c := range []struct{ microseconds, pid string }{{"", ""}, {"1000", "1"}, {"soon", ""}} {
		heard := asSystemd(t)
		t.Setenv("WATCHDOG_USEC", c.microseconds)
		t.Setenv("WATCHDOG_PID", c.pid)
		p, ready := patient(func(context.Context) error { t.Error("asked"); return nil })
		close(ready)
		end := start(t, p)
		hear(t, heard, "READY=1")
		if err := end(); err != nil {
			t.Error(err)
		}
		hear(t, heard, "STOPPING=1")
	}
}

// Started by a person, a program runs the same, and how it ends is passed on.
func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	p, _ := patient(nil)
	failed := errors.New("port taken")
	p.Run = func(context.Context) error { return failed }
	if err := start(t, p)(); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
}

// Why a program ended is told.
func TestEndedByAnError(t *testing.T) {
	heard := asSystemd(t)
	p, _ := patient(nil)
	p.Run = func(context.Context) error { return errors.New("port taken") }
	if err := start(t, p)(); err == nil {
		t.Error("no error")
	}
	hear(t, heard, "STATUS=port taken")
}

// What keeps a program from opening is told too; it never was ready.
func TestNotOpened(t *testing.T) {
	heard := asSystemd(t)
	err := Run(t.Context(), false, func() (Program, error) { return Program{}, errors.New("folder is\nin use") })
	if err == nil {
		t.Error("no error")
	}
	hear(t, heard, "STATUS=folder is in use")
}
