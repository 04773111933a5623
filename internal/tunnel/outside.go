package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"fettle"
)

// lookWithin bounds how long the public address may take to answer.
const lookWithin = 20 * time.Second

// look asks the public address from time to time whether fettle answers there.
func (t *Tunnel) look(ctx context.Context) {
	var address string
	var next time.Time
	for sleep(ctx, t.pace.poll) {
		s := t.State()
		if s.URL == "" || s.State != fettle.TunnelUp && s.State != fettle.TunnelElsewhere {
			address = ""
			continue
		}
		now := time.Now()
		if s.URL != address {
			address, next = s.URL, now.Add(t.pace.settle)
		}
		if now.Before(next) {
			continue
		}
		next = now.Add(t.pace.lookEvery)
		view, why := t.reach(ctx, address)
		if ctx.Err() == nil {
			t.saw(address, view, why)
		}
	}
}

// saw notes what asking an address has brought, if it is still the address.
func (t *Tunnel) saw(address string, view fettle.OutsideView, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state.URL != address {
		return
	}
	next := t.state
	next.Outside, t.outside = view, why
	t.news(next)
}

// reach asks an address for what tells nothing but that fettle is alive.
func (t *Tunnel) reach(ctx context.Context, address string) (fettle.OutsideView, string) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/healthz", nil)
	if err != nil {
		return fettle.OutsideUnknown, fmt.Sprintf("the public address cannot be asked: %v", err)
	}
	response, err := t.Public.Do(request)
	if err != nil {
		return fettle.OutsideUnknown, "the public address could not be asked from this computer: " + reasonOf(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 256))
	switch {
	case err != nil:
		return fettle.OutsideNotReached, fmt.Sprintf("the public address breaks off its answer: %v", err)
	case response.StatusCode == http.StatusOK && string(text) == `{"status":"ok"}`:
		return fettle.OutsideReached, ""
	case response.StatusCode >= 500:
		return fettle.OutsideNotReached, fmt.Sprintf("the public address answers %s: Cloudflare does not reach cloudflared, or cloudflared not fettle", response.Status)
	default:
		return fettle.OutsideNotReached, fmt.Sprintf("the public address answers %s to /healthz, which is not what fettle answers: its name leads elsewhere, or something like Cloudflare Access stands before it", response.Status)
	}
}

// reasonOf is an error of the network in few words.
func reasonOf(err error) string {
	var unknown *net.DNSError
	var failed *url.Error
	switch {
	case errors.As(err, &unknown):
		return "its name is not known here (yet)"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within " + lookWithin.String()
	case errors.As(err, &failed):
		return failed.Err.Error()
	default:
		return err.Error()
	}
}
