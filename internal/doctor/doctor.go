// Package doctor looks a fettle over, and says what is wrong and what to do.
//
// The settings come in, and, where a server runs, a way to ask it; out comes a
// Report: one Finding for each thing that was looked at, healthy ones too. It
// works beside a running server, which it asks, and without one, when it opens
// the data folder itself. It calls the listeners as a stranger would and the
// broker as a sensor would, writes one small file into the data folder to see
// how fast the disk is, and takes it away again. It repairs nothing, and calls
// nobody but this computer.
package doctor

import (
	"context"
	"time"

	"fettle/internal/config"
	"fettle/internal/service"
	"fettle/internal/tunnel"
)

// A State says how bad a Finding is.
type State string

// The states, the best first. Off is a part that nobody asked for.
const (
	OK      State = "ok"
	Off     State = "off"
	Warning State = "warning"
	Error   State = "error"
)

// A Finding is one thing that was looked at.
type Finding struct {
	Check string `json:"check"` // what was looked at: a stable word, such as clock or broker
	State State  `json:"state"`
	Says  string `json:"says"`         // what was seen, with its numbers
	Do    string `json:"do,omitempty"` // what to do about it; empty where nothing is to be done
}

// A Report is all of them, in the order in which they are best repaired.
type Report []Finding

// Worst is the worst state of a report.
func (r Report) Worst() State {
	worst := OK
	for _, f := range r {
		if f.State == Error || f.State == Warning && worst != Error {
			worst = f.State
		}
	}
	return worst
}

// ExitCode is what a command ends with: 0 all is well, 1 there are warnings, 2
// there are errors.
func (r Report) ExitCode() int {
	switch r.Worst() {
	case Error:
		return 2
	case Warning:
		return 1
	default:
		return 0
	}
}

// A Patient is the fettle that is looked over.
type Patient struct {
	Config config.Config

	// Ask gets a path of the running server's API as JSON, with the rights of an
	// administrator; nil if there is no server to ask, and Absent says why: an
	// error of kind NotFound if none runs, any other if one does and is silent.
	Ask    func(ctx context.Context, path string, out any) error
	Absent error
	PID    int // of the server that runs, or was to; 0: none is known

	Places  tunnel.Places                                 // where cloudflared keeps its files
	Service func(context.Context) (service.Status, error) // asks whoever keeps services; nil: nobody

	Now func() time.Time
}

// patience bounds each single call of a listener, of the broker or of a program.
const patience = 5 * time.Second

// Examine looks at everything.
func Examine(ctx context.Context, p Patient) Report {
	f := gather(ctx, p)
	var report Report
	for _, look := range []func(context.Context, *facts) []Finding{
		server, kept, listeners, ports, tunnelState, cloudflared, tunnelService, tunnelFiles, exposure, keys, certificates,
		clock, disk, memory,
		brokerAnswers, parts,
		workspaces, machines, models, training, processor, interval,
	} {
		report = append(report, look(ctx, f)...)
	}
	return report
}

func one(check string, state State, says, do string) []Finding {
	return []Finding{{Check: check, State: state, Says: says, Do: do}}
}
