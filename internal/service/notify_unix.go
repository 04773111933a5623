//go:build unix

package service

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// A notifier tells systemd how its service is doing, as sd_notify(3) and
// sd_watchdog_enabled(3) have it: datagrams of lines such as READY=1, to the
// socket that a variable names. Without that variable it tells nobody.
type notifier struct {
	conn  *net.UnixConn // nil: nobody listens
	every time.Duration // between two signs of life; 0: none are wanted
}

// takeNotifier reads the variables that are meant for the process pid, and takes
// them away, so that programs that this one starts do not speak for it.
func takeNotifier(pid int) (*notifier, error) {
	socket, microseconds, meant := os.Getenv("NOTIFY_SOCKET"), os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, variable := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if err := os.Unsetenv(variable); err != nil {
			return nil, err
		}
	}
	if socket == "" {
		return &notifier{}, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"}) // @name is an abstract one
	if err != nil {
		return nil, fmt.Errorf("reach systemd at NOTIFY_SOCKET: %w", err)
	}
	n := &notifier{conn: conn}
	if within, err := strconv.ParseInt(microseconds, 10, 64); err == nil && (meant == "" || meant == strconv.Itoa(pid)) {
		n.every = time.Duration(within) * time.Microsecond / 3 // so that one sign may be late
	}
	return n, nil
}

// tell sends lines. One that is lost is made up for by the next sign of life, or
// by systemd, which starts what it does not hear of anew.
func (n *notifier) tell(lines ...string) {
	if n.conn != nil {
		_, _ = n.conn.Write([]byte(strings.Join(lines, "\n")))
	}
}

func (n *notifier) close() {
	if n.conn != nil {
		_ = n.conn.Close() // datagrams: nothing waits in it
	}
}

func (n *notifier) attend(ctx context.Context, p Program, ended <-chan struct{}) {
	select {
	case <-p.Ready:
	case <-ended:
		return
	}
	n.tell("READY=1", "STATUS="+line(p.Says()))
	var sign <-chan time.Time
	if n.conn != nil && n.every > 0 {
		ticker := time.NewTicker(n.every)
		defer ticker.Stop()
		sign = ticker.C
	}
	for {
		select {
		case <-sign:
			n.look(ctx, p)
		case <-ctx.Done():
			n.tell("STOPPING=1", "STATUS=stopping")
			<-ended
			return
		case <-ended: // by itself
			n.tell("STOPPING=1")
			return
		}
	}
}

// look gives a sign of life if there is life.
func (n *notifier) look(ctx context.Context, p Program) {
	within, cancel := context.WithTimeout(ctx, n.every)
	defer cancel()
	err := p.Alive(within)
	switch {
	case err == nil:
		n.tell("WATCHDOG=1", "STATUS="+line(p.Says()))
	case ctx.Err() == nil:
		p.Log.Warn("does not answer itself; systemd will start it anew if that lasts", "err", err)
		n.tell("STATUS=does not answer itself: " + line(err.Error()))
	}
}

// line makes one line of a text.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }
