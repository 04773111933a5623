package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"fettle"
)

// Tunnels is what the API needs of the way in from outside.
type Tunnels interface {
	// Tunnel is how it is doing.
	Tunnel() fettle.Tunnel
	// HoldTunnel keeps a tunnel until the context ends, and tells of each of its
	// states; the channel is closed when the tunnel is gone. An error means that
	// nothing was started.
	HoldTunnel(ctx context.Context, kind, name string) (<-chan fettle.Tunnel, error)
}

func (a *API) addTunnel() {
	add(a, Read, get("/tunnel", "get-tunnel", tagServer, "The way in from outside: its state and its public address"),
		func(context.Context, *struct{}) (*answer[fettle.Tunnel], error) {
			return &answer[fettle.Tunnel]{a.Tunnels.Tunnel()}, nil
		})

	hold := huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/tunnel", OperationID: "hold-tunnel", Tags: []string{tagServer},
		Summary:     "Keep a tunnel for as long as this request lasts",
		Description: "The answer is one line of JSON for each state of the tunnel. Ending the request ends the tunnel: `fettle tunnel quick` is such a request.",
		Responses:   returns(content{"application/x-ndjson": {Schema: a.schemaOf(fettle.Tunnel{})}}),
	}
	add(a, Admin, hold, a.holdTunnel)
}

type tunnelWish struct {
	Body struct {
		Kind string `json:"kind" enum:"quick,named"`
		Name string `json:"name,omitempty" maxLength:"100" doc:"Of a named tunnel; absent: the one of the configuration"`
	}
}

func (a *API) holdTunnel(ctx context.Context, in *tunnelWish) (*huma.StreamResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	states, err := a.Tunnels.HoldTunnel(ctx, in.Body.Kind, in.Body.Name)
	if err != nil {
		cancel()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer func() {
			cancel()
			for range states { // until the tunnel is gone
			}
		}()
		r, w := humago.Unwrap(ctx)
		// A read deadline that passes while nothing is read ends the request.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		w.Header().Set("Content-Type", "application/x-ndjson")
		for {
			select {
			case <-r.Context().Done():
				return
			case s, open := <-states:
				if !open {
					return
				}
				line, err := marshal(s)
				if err != nil || push(w, append(line, '\n')) != nil {
					return
				}
			}
		}
	}}, nil
}
