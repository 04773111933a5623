package service

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/windows/svc"
)

// A manager is Windows' service manager before a handler.
type manager struct {
	t        *testing.T
	requests chan svc.ChangeRequest
	changes  chan svc.Status
	code     chan uint32
}

func manage(t *testing.T, open func() (Program, error)) (*manager, *handler) {
	m := &manager{t, make(chan svc.ChangeRequest), make(chan svc.Status), make(chan uint32, 1)}
	h := &handler{ctx: t.Context(), open: open}
	go func() {
		_, code := h.Execute(nil, m.requests, m.changes)
		close(m.changes)
		m.code <- code
	}()
	return m, h
}

// until waits for a state.
func (m *manager) until(state svc.State) svc.Status {
	m.t.Helper()
	for late := time.After(time.Minute); ; {
		select {
		case s, more := <-m.changes:
			if !more {
				m.t.Fatalf("ended before it was in state %d", state)
			}
			if s.State == state {
				return s
			}
		case <-late:
			m.t.Fatalf("never in state %d", state)
		}
	}
}

// ends waits for the end, and returns the exit code.
func (m *manager) ends() uint32 {
	for range m.changes { // what is still told
	}
	return <-m.code
}

func TestServiceOfWindows(t *testing.T) {
	ready := make(chan struct{})
	m, h := manage(t, func() (Program, error) {
		return Program{Ready: ready, Log: slog.New(slog.DiscardHandler), Run: func(ctx context.Context) error { <-ctx.Done(); return nil }}, nil
	})
	if s := m.until(svc.StartPending); s.Accepts != 0 || s.WaitHint == 0 {
		t.Errorf("%+v", s)
	}
	close(ready)
	if s := m.until(svc.Running); s.Accepts&svc.AcceptStop == 0 || s.Accepts&svc.AcceptPreShutdown == 0 {
		t.Errorf("%+v", s)
	}
	m.requests <- svc.ChangeRequest{Cmd: svc.Interrogate}
	m.until(svc.Running)
	m.requests <- svc.ChangeRequest{Cmd: svc.Stop}
	m.until(svc.StopPending)
	if code := m.ends(); code != 0 || h.err != nil {
		t.Errorf("code %d, %v", code, h.err)
	}
}

// What goes wrong has an exit code, for Windows to start it again.
func TestFailingServiceOfWindows(t *testing.T) {
	bad := errors.New("port taken")
	for _, open := range []func() (Program, error){
		func() (Program, error) { return Program{}, bad },
		func() (Program, error) { return Program{Run: func(context.Context) error { return bad }}, nil },
	} {
		m, h := manage(t, open)
		if code := m.ends(); code != failed || !errors.Is(h.err, bad) {
			t.Errorf("code %d, %v", code, h.err)
		}
	}
}
