package service

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
)

// Run opens a program and runs it until the context ends or it ends by itself.
// If it is kept, Windows has started this process as a service, is told how the
// program is doing, and may end it.
func Run(ctx context.Context, kept bool, open func() (Program, error)) error {
	if !kept {
		p, err := open()
		if err != nil {
			return err
		}
		return p.Run(ctx)
	}
	h := &handler{ctx: ctx, open: open}
	if err := svc.Run(Name, h); err != nil {
		return fmt.Errorf("answer Windows as a service: %w; without --kept this runs by itself", err)
	}
	return h.err
}

// A handler is a program before Windows' service manager.
type handler struct {
	ctx  context.Context
	open func() (Program, error)
	err  error // how the program ended
}

const (
	// hintEvery is how often Windows is told that it goes on, while it starts or
	// ends, and hint for how long Windows then waits for more.
	hintEvery = time.Second
	hint      = 30 * time.Second

	accepts = svc.AcceptStop | svc.AcceptShutdown | svc.AcceptPreShutdown
	failed  = 1 // the exit code that has Windows start it again
)

// Execute runs the program; svc calls it.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (own bool, code uint32) {
	ctx, stop := context.WithCancel(h.ctx)
	defer stop()
	o := &windowsObserver{requests: requests, changes: changes, stop: stop}
	o.tell(svc.StartPending)
	type opened struct {
		Program
		error
	}
	opening := make(chan opened, 1)
	go func() {
		p, err := h.open()
		opening <- opened{p, err}
	}()
	ticker := time.NewTicker(hintEvery)
	defer ticker.Stop()
	for h.err == nil {
		select {
		case o := <-opening:
			if o.error != nil {
				h.err = o.error
				break
			}
			h.err = run(ctx, o.Program, &windowsObserver{requests: requests, changes: changes, stop: stop, checkpoint: 1})
			if h.err == nil {
				return false, 0
			}
		case r := <-requests:
			if r.Cmd == svc.Interrogate {
				o.tell(svc.StartPending)
			}
		case <-ticker.C:
			o.tell(svc.StartPending)
		}
	}
	report(h.err)
	return true, failed
}

// report writes into the event log, which people look into when there is no
// log yet.
func report(err error) {
	log, openErr := eventlog.Open(Name)
	if openErr != nil {
		return // nobody is left to tell
	}
	defer log.Close()
	_ = log.Error(1, err.Error()) // as above
}

// A windowsObserver tells Windows, and passes on what Windows asks for.
type windowsObserver struct {
	requests   <-chan svc.ChangeRequest
	changes    chan<- svc.Status
	stop       func()
	checkpoint uint32
}

func (o *windowsObserver) tell(state svc.State) {
	s := svc.Status{State: state}
	switch state {
	case svc.Running:
		s.Accepts = accepts
	default:
		o.checkpoint++
		s.CheckPoint, s.WaitHint = o.checkpoint, uint32(hint.Milliseconds())
	}
	o.changes <- s
}

func (o *windowsObserver) attend(_ context.Context, p Program, ended <-chan struct{}) {
	state, ready := svc.StartPending, p.Ready
	ticker := time.NewTicker(hintEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ready:
			state, ready = svc.Running, nil
			o.tell(state)
		case r := <-o.requests:
			switch r.Cmd {
			case svc.Interrogate:
				o.tell(state)
			case svc.Stop, svc.Shutdown, svc.PreShutdown:
				state, ready = svc.StopPending, nil
				o.tell(state)
				o.stop()
			}
		case <-ticker.C:
			if state != svc.Running {
				o.tell(state)
			}
		case <-ended:
			return
		}
	}
}
