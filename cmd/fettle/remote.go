package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/backup"
	"fettle/internal/codec"
	"fettle/internal/config"
	"fettle/internal/readings"
)

// A remote is the server that holds the data folder, spoken to over its API
// with the token that it left in server.json.
type remote struct {
	note config.Server
	base string
	http *http.Client
}

// answerWithin bounds how long a server may take to begin its answer; beyond
// it something is wrong with it, and the command says so instead of hanging.
const answerWithin = 10 * time.Second

// findServer returns the running server of a data folder. NotFound if there is
// none, which includes a note left over by one that was killed.
func findServer(ctx context.Context, dir string) (*remote, error) {
	note, err := config.ReadServer(dir)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{ResponseHeaderTimeout: answerWithin}
	r := &remote{note: note, base: "http://" + dialable(note.HTTP), http: &http.Client{Transport: transport}}
	var status json.RawMessage
	err = r.call(ctx, http.MethodGet, "/api/v1/status", nil, &status)
	var refused *net.OpError
	switch {
	case err == nil:
		return r, nil
	case errors.As(err, &refused) && refused.Op == "dial", fettle.KindOf(err) == fettle.Forbidden:
		return nil, fettle.Errorf(fettle.NotFound, "the server that was at %s (pid %d) is gone", note.HTTP, note.PID)
	default:
		return nil, fmt.Errorf("ask the server at %s: %w", note.HTTP, err)
	}
}

// mustFindServer is findServer for commands that can do nothing without one.
func mustFindServer(ctx context.Context, dir string) (*remote, error) {
	server, err := findServer(ctx, dir)
	if fettle.KindOf(err) == fettle.NotFound {
		return nil, fettle.Errorf(fettle.NotFound, "no server runs on %s: %w. `fettle serve` starts one; --data or FETTLE_DATA_DIR name another folder%s", dir, err, demoHere(dir))
	}
	return server, err
}

// server is the running one of the data folder.
func (g *globals) server(ctx context.Context) (*remote, error) {
	cfg, err := g.config()
	if err != nil {
		return nil, err
	}
	return mustFindServer(ctx, cfg.Data.Dir)
}

// dialable turns the address of a listener into one to call: 0.0.0.0 and ::
// mean this computer too.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// call sends in as JSON and reads the answer into out; either may be nil.
func (r *remote) call(ctx context.Context, method, path string, in, out any) error {
	body, err := r.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return nil
}

// open sends a request and returns the body of a good answer.
func (r *remote) open(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var content io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, r.base+path, content)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+r.note.Token.Reveal())
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := r.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		return nil, problemOf(response)
	}
	return response.Body, nil
}

// problemOf turns a bad answer back into the error that it was.
func problemOf(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	var p api.Problem
	if json.Unmarshal(text, &p) != nil || p.Detail == "" {
		p.Detail = response.Status
	}
	kinds := map[int]fettle.Kind{
		http.StatusUnauthorized: fettle.Forbidden, http.StatusForbidden: fettle.Forbidden, http.StatusNotFound: fettle.NotFound,
		http.StatusConflict: fettle.Conflict, http.StatusUnprocessableEntity: fettle.Invalid, http.StatusTooManyRequests: fettle.Busy,
		http.StatusServiceUnavailable: fettle.Unavailable,
	}
	return fettle.Errorf(kinds[response.StatusCode], "%s", p.Detail)
}

func (r *remote) Machines(ctx context.Context) ([]machineRows, error) {
	var list struct{ Machines []machineRows }
	err := r.call(ctx, http.MethodGet, "/api/v1/machines", nil, &list)
	return list.Machines, err
}

// Readings asks for line protocol, which the server streams without a limit on
// rows, and which has their tags.
func (r *remote) Readings(ctx context.Context, machine string, s stretch, yield func(fettle.Reading) error) error {
	query := url.Values{"format": {"line"}}
	if s.last > 0 {
		query.Set("last", strconv.Itoa(s.last))
	} else {
		query.Set("from", orEpoch(s.from).Format(time.RFC3339Nano))
	}
	if !s.to.IsZero() {
		query.Set("to", s.to.UTC().Format(time.RFC3339Nano))
	}
	body, err := r.open(ctx, http.MethodGet, "/api/v1/machines/"+url.PathEscape(machine)+"/readings?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	const batch = 1000
	for lines := codec.NewLines(body, codec.OldShape(), codec.Precision(time.Microsecond), time.Time{}); err == nil; {
		var rows []fettle.Reading
		var bad codec.Errors
		rows, bad, err = lines.Next(batch)
		if len(bad) > 0 {
			return fmt.Errorf("read readings of %s: %w", machine, bad[0])
		}
		for _, reading := range rows {
			if reading.Time.Before(s.from) {
				continue
			}
			if err := yield(reading); err != nil {
				return err
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("read readings of %s: %w", machine, err)
	}
	return nil
}

func orEpoch(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return t.UTC()
}

// Backup and Check take as long as there is data, so the answer is waited for
// as long as the server lives.
func (r *remote) Backup(ctx context.Context, dir string) (note backup.Note, err error) {
	err = r.patient().call(ctx, http.MethodPost, "/api/v1/backup", map[string]string{"dir": dir}, &note)
	return note, err
}

func (r *remote) Check(ctx context.Context) (report readings.Report, err error) {
	err = r.patient().call(ctx, http.MethodPost, "/api/v1/check", nil, &report)
	return report, err
}

// patient is the same server with time to answer.
func (r *remote) patient() *remote {
	return &remote{note: r.note, base: r.base, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

func (r *remote) Keys() (keyRing, error) { return remoteKeys{r}, nil }

func (r *remote) Users() (userBook, error) { return remoteUsers{r}, nil }

func (r *remote) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

type remoteKeys struct{ *remote }

func (k remoteKeys) Create(ctx context.Context, name string, scopes []api.Scope) (text string, key api.Key, err error) {
	wanted := struct {
		Name   string      `json:"name"`
		Scopes []api.Scope `json:"scopes,omitempty"`
	}{name, scopes}
	var made struct {
		api.Key
		Text string `json:"key"`
	}
	err = k.call(ctx, http.MethodPost, "/api/v1/keys", wanted, &made)
	return made.Text, made.Key, err
}

func (k remoteKeys) List(ctx context.Context) ([]api.Key, error) {
	var list struct{ Keys []api.Key }
	err := k.call(ctx, http.MethodGet, "/api/v1/keys", nil, &list)
	return list.Keys, err
}

func (k remoteKeys) Revoke(ctx context.Context, id string) error {
	return k.call(ctx, http.MethodDelete, "/api/v1/keys/"+url.PathEscape(id), nil, nil)
}
