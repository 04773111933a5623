package tunnel

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"fettle"
)

const (
	askWithin = 5 * time.Second
	maxAnswer = 64 << 10 // bytes of one answer that are read
)

// metrics is the address at which cloudflared tells how it is doing. (Its log
// is for people and changes from version to version.)
type metrics struct {
	address string // host:port
	quick   bool
}

// seen is what cloudflared tells.
type seen struct {
	ready    bool // connected to Cloudflare
	hostname string
}

// freeAddress finds a port of loopback for it. Should somebody else take it
// meanwhile, cloudflared ends, and is started again with another.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port for cloudflared's metrics: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// ask asks for everything. An error means that nobody answered in a way that
// cloudflared does.
func (m metrics) ask(ctx context.Context) (seen, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	status, text, err := m.get(ctx, "/ready")
	if err != nil {
		return seen{}, err
	}
	var s seen
	if s.ready, err = parseReady(status, text); err != nil || !s.ready || !m.quick {
		return s, err
	}
	if _, text, err = m.get(ctx, "/quicktunnel"); err == nil {
		s.hostname, err = parseQuickTunnel(text)
	}
	return s, err
}

func (m metrics) get(ctx context.Context, path string) (status int, text []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.address+path, nil)
	if err != nil {
		return 0, nil, err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, text, err
}

// parseReady reads what /ready answers: 200 or 503, with the connections.
func parseReady(status int, text []byte) (ready bool, err error) {
	var answer struct {
		ReadyConnections *int `json:"readyConnections"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.ReadyConnections == nil {
		return false, fettle.Errorf(fettle.Invalid, "cloudflared's /ready answers %d %q; expected JSON with readyConnections", status, fettle.Shorten(string(text)))
	}
	return status == http.StatusOK && *answer.ReadyConnections > 0, nil
}

// parseQuickTunnel reads what /quicktunnel answers; empty while there is no name.
func parseQuickTunnel(text []byte) (hostname string, err error) {
	var answer struct {
		Hostname string `json:"hostname"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "", fettle.Errorf(fettle.Invalid, "cloudflared's /quicktunnel answers %q; expected JSON with hostname", fettle.Shorten(string(text)))
	}
	if answer.Hostname != "" && !isHostname(answer.Hostname) {
		return "", fettle.Errorf(fettle.Invalid, "cloudflared's /quicktunnel names %q; expected a host name", fettle.Shorten(answer.Hostname))
	}
	return strings.ToLower(answer.Hostname), nil
}

// isHostname tells whether a text can stand in an address: letters, digits,
// dots and hyphens, maybe a port, which a server for tests has.
func isHostname(text string) bool {
	name := text
	if host, port, err := net.SplitHostPort(text); err == nil {
		if name = host; port == "" || strings.Trim(port, "0123456789") != "" {
			return false
		}
	}
	if name == "" || len(name) > 253 || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") {
		return false
	}
	return strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}
