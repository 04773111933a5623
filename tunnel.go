package fettle

import "time"

// TunnelState says how a tunnel is doing.
type TunnelState string

// The states of a tunnel.
const (
	TunnelOff      TunnelState = "off"
	TunnelStarting TunnelState = "starting" // the program runs, and is not connected yet
	TunnelUp       TunnelState = "up"       // connected
	TunnelDown     TunnelState = "down"     // not connected; Detail says why, and what happens next
	// TunnelElsewhere is one that a service of the operating system keeps.
	TunnelElsewhere TunnelState = "elsewhere"
)

// A Tunnel is the way to the keyed listener from outside, without an opening in
// the firewall.
type Tunnel struct {
	State   TunnelState `json:"state" enum:"off,starting,up,down,elsewhere"`
	Kind    string      `json:"kind,omitempty" enum:"quick,named" doc:"quick: a new address at each start; named: an address of one's own"`
	Name    string      `json:"name,omitempty" doc:"Of a named tunnel"`
	URL     string      `json:"url,omitempty" doc:"Public address; absent while it is not known"`
	Detail  string      `json:"detail,omitempty" doc:"In words, for people"`
	Since   time.Time   `json:"since" doc:"Wall clock: when it got into this state"`
	Starts  int         `json:"starts" doc:"How often its program was started"`
	Outside OutsideView `json:"outside,omitempty" enum:"reached,not reached,unknown" doc:"Whether the public address answers when asked from here"`
}

// OutsideView is what asking the public address has brought.
type OutsideView string

// What came of asking.
const (
	OutsideReached    OutsideView = "reached"
	OutsideNotReached OutsideView = "not reached" // something else answers there, or nothing
	OutsideUnknown    OutsideView = "unknown"     // not asked yet, or this computer cannot ask
)
