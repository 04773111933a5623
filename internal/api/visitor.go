package api

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are those elsewhere whose word about a visitor is believed, beside
// those of this computer, of which a tunnel's end is one.
type proxies []netip.Prefix

// believed tells whether a request comes from a proxy whose headers count.
func (p proxies) believed(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap()
	return addr.IsLoopback() || slices.ContainsFunc(p, func(one netip.Prefix) bool { return one.Contains(addr) })
}

// plain tells whether a visitor came to a proxy by http.
func (p proxies) plain(r *http.Request) bool {
	return p.believed(r) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "http")
}

// encrypted tells whether the visitor's own connection is encrypted.
func (p proxies) encrypted(r *http.Request) bool {
	return r.TLS != nil || p.believed(r) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// visitor names the address that a request comes from: behind a proxy the one
// that it tells of, else the connection's own.
func (p proxies) visitor(r *http.Request) string {
	if p.believed(r) {
		// The last address is the one that the nearest proxy saw; those before
		// it are whatever the visitor wrote.
		if chain := r.Header.Values("X-Forwarded-For"); len(chain) > 0 {
			hops := strings.Split(chain[len(chain)-1], ",")
			if last := strings.TrimSpace(hops[len(hops)-1]); last != "" {
				return last
			}
		}
		if address := r.Header.Get("Cf-Connecting-Ip"); address != "" {
			return address
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
