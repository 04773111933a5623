package influx

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fettle"
)

// A Target is an InfluxDB and how to get in. The token is shown to nobody but
// InfluxDB.
type Target struct {
	URL   string // such as http://127.0.0.1:8086
	Org   string
	Token string
}

// How long InfluxDB may take.
const (
	writeWithin = time.Minute
	queryWithin = 10 * time.Minute // until the last byte of the answer
)

// maxAnswer bounds what is read of an answer that is not a query's, in bytes.
const maxAnswer = 64 << 10

// A Client speaks to one InfluxDB. Its methods may be called at the same time.
type Client struct {
	target Target
	base   *url.URL
	http   *http.Client
}

// NewClient makes a client; it does not connect.
func NewClient(t Target) (*Client, error) {
	base, err := url.Parse(t.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fettle.BadField("bad URL", "url", t.URL, "the address of an InfluxDB 2, such as http://127.0.0.1:8086")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = queryWithin
	return &Client{target: t, base: base, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// A Refusal is an answer of InfluxDB that is not the one asked for.
type Refusal struct {
	Status     int
	Message    string        // what it said, shortened
	RetryAfter time.Duration // when it wants to be asked again; 0: it did not say
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("InfluxDB answered %d %s: %s", r.Status, http.StatusText(r.Status), r.Message)
}

// Write writes lines, with times in microseconds, into a bucket.
func (c *Client) Write(ctx context.Context, bucket string, lines []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := w.Write(lines); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	query := url.Values{"org": {c.target.Org}, "bucket": {bucket}, "precision": {"us"}}
	header := http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Encoding": {"gzip"}}
	answer, err := c.do(ctx, http.MethodPost, "/api/v2/write", query, header, &packed)
	if err != nil {
		return fmt.Errorf("write to bucket %s: %w", bucket, err)
	}
	return answer.Close()
}

// Query asks a Flux query and returns its answer as annotated CSV, which the
// caller closes.
func (c *Client) Query(ctx context.Context, flux string) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, queryWithin)
	body, err := json.Marshal(map[string]any{
		"query": flux, "type": "flux",
		"dialect": map[string]any{"annotations": []string{"datatype", "group", "default"}, "header": true, "delimiter": ",", "dateTimeFormat": "RFC3339Nano"},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/csv"}}
	answer, err := c.do(ctx, http.MethodPost, "/api/v2/query", url.Values{"org": {c.target.Org}}, header, bytes.NewReader(body))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("query: %w", err)
	}
	return &cancelled{answer, cancel}, nil
}

// cancelled ends a request's context with its answer.
type cancelled struct {
	io.ReadCloser
	cancel func()
}

func (c *cancelled) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// EnsureBucket makes a bucket if it is not there, with a retention; 0 keeps for
// ever. One that is there stays as it is.
func (c *Client) EnsureBucket(ctx context.Context, name string, retention time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	var found struct {
		Buckets []struct{ ID string }
	}
	err := c.ask(ctx, http.MethodGet, "/api/v2/buckets", url.Values{"org": {c.target.Org}, "name": {name}}, nil, &found)
	if err == nil && len(found.Buckets) > 0 {
		return nil
	}
	if refused := new(Refusal); err != nil && (!errors.As(err, &refused) || refused.Status != http.StatusNotFound) {
		return fmt.Errorf("look for bucket %s: %w", name, err)
	}
	var orgs struct {
		Orgs []struct{ ID string }
	}
	if err := c.ask(ctx, http.MethodGet, "/api/v2/orgs", url.Values{"org": {c.target.Org}}, nil, &orgs); err != nil {
		return fmt.Errorf("look for organization %s: %w", c.target.Org, err)
	}
	if len(orgs.Orgs) != 1 {
		return fettle.Errorf(fettle.NotFound, "look for organization %s: the token sees %d of that name", c.target.Org, len(orgs.Orgs))
	}
	rules := []map[string]any{}
	if retention > 0 {
		rules = append(rules, map[string]any{"type": "expire", "everySeconds": int64(retention.Seconds())})
	}
	err = c.ask(ctx, http.MethodPost, "/api/v2/buckets", nil, map[string]any{"orgID": orgs.Orgs[0].ID, "name": name, "retentionRules": rules}, nil)
	if err != nil {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	return nil
}

// ask sends JSON and reads JSON; nil for nothing.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body, into any) error {
	var sent io.Reader
	header := http.Header{}
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(text)
		header.Set("Content-Type", "application/json")
	}
	answer, err := c.do(ctx, method, path, query, header, sent)
	if err != nil {
		return err
	}
	defer answer.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read InfluxDB's answer: %w", err)
	}
	return nil
}

// do makes a request; anything but success is an error, a [Refusal] if InfluxDB
// answered.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (io.ReadCloser, error) {
	at := c.base.JoinPath(path)
	at.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return nil, err
	}
	request.Header = header
	if c.target.Token != "" {
		request.Header.Set("Authorization", "Token "+c.target.Token)
	}
	request.Header.Set("User-Agent", "fettle")
	response, err := c.http.Do(request)
	if err != nil {
		if where := new(url.Error); errors.As(err, &where) {
			err = where.Err // the rest repeats what the caller knows
		}
		return nil, fettle.Errorf(fettle.Unavailable, "reach InfluxDB: %w", err)
	}
	if response.StatusCode/100 == 2 {
		return response.Body, nil
	}
	defer response.Body.Close()
	return nil, refusalOf(response)
}

func refusalOf(response *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fettle.Errorf(fettle.Unavailable, "read InfluxDB's answer: %w", err)
	}
	r := &Refusal{Status: response.StatusCode, Message: strings.TrimSpace(string(text))}
	var said struct{ Message string }
	if json.Unmarshal(text, &said) == nil && said.Message != "" {
		r.Message = said.Message
	}
	const enough = 300
	r.Message = strings.ToValidUTF8(r.Message[:min(len(r.Message), enough)], "\uFFFD")
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		r.RetryAfter = time.Duration(min(seconds, 300)) * time.Second
	}
	return r
}

// Quote writes text as a string of Flux.
func Quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", `\${`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(text) + `"`
}
