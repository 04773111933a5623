package spark

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fettle"
)

// What is needed of gRPC over HTTP/2
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): a POST with
// messages behind their lengths there and back, and how it went in the trailers.

const (
	service = "/spark.connect.SparkConnectService/"

	// MaxMessage is how long a message may be there and back, in bytes: what a
	// Connect server takes (spark.connect.grpc.maxInboundMessageSize).
	MaxMessage = 128 << 20

	dialWithin = 15 * time.Second
	callWithin = 2 * time.Minute // a server that wakes up takes its time

	prefixSize = 5 // of a message: whether it is compressed, and its length
)

// A connection is one to a server; many calls share it.
type connection struct {
	target target
	http   *http.Transport
}

func connect(t target) *connection {
	protocols := new(http.Protocols)
	if t.tls == nil {
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP2(true)
	}
	dialer := &net.Dialer{Timeout: dialWithin}
	return &connection{target: t, http: &http.Transport{
		Protocols: protocols, TLSClientConfig: t.tls, DialContext: dialer.DialContext,
		TLSHandshakeTimeout: dialWithin, DisableCompression: true, MaxResponseHeaderBytes: 1 << 20,
		// Servers take pings amiss while nothing runs, so an idle connection is soon closed.
		IdleConnTimeout: time.Minute, HTTP2: &http.HTTP2Config{SendPingTimeout: time.Minute, PingTimeout: dialWithin},
	}}
}

func (c *connection) close() { c.http.CloseIdleConnections() }

// call asks once and waits for the one answer.
func (c *connection) call(ctx context.Context, method string, request message) ([]byte, error) {
	return c.send(ctx, callWithin, method, framed(request))
}

// send is call with a body that holds its frames already.
func (c *connection) send(ctx context.Context, within time.Duration, method string, b body) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, &fault{fmt.Errorf("no answer to %s within %s", method, within)})
	defer cancel()
	s, err := c.stream(ctx, method, b)
	if err != nil {
		return nil, err
	}
	defer s.close()
	answer, err := s.next()
	if err != nil {
		if err == io.EOF {
			err = &fault{fmt.Errorf("no answer to %s", method)}
		}
		return nil, err
	}
	if _, err := s.next(); err != io.EOF {
		if err == nil {
			err = &fault{fmt.Errorf("more than one answer to %s", method)}
		}
		return nil, err
	}
	return answer, nil
}

// A body is what a request sends, as often as it must be sent; size may be -1.
type body struct {
	open func() io.ReadCloser
	size int64
}

// framed is a body of one message whose end may be a string, which is not copied.
func framed(head message, tail ...string) body {
	size := len(head)
	for _, s := range tail {
		size += len(s)
	}
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(size))
	return body{size: int64(prefixSize + size), open: func() io.ReadCloser {
		parts := []io.Reader{bytes.NewReader(prefix), bytes.NewReader(head)}
		for _, s := range tail {
			parts = append(parts, strings.NewReader(s))
		}
		return io.NopCloser(io.MultiReader(parts...))
	}}
}

// A stream is the messages of one answer.
type stream struct {
	ctx      context.Context
	response *http.Response
	ended    bool
}

// stream asks, and returns once the answer begins.
func (c *connection) stream(ctx context.Context, method string, b body) (*stream, error) {
	if b.size > MaxMessage {
		return nil, fettle.Errorf(fettle.Invalid, "a message of %d bytes to Spark; expected at most %d (128 MiB)", b.size, MaxMessage)
	}
	scheme := "http"
	if c.target.tls != nil {
		scheme = "https"
	}
	request := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Scheme: scheme, Host: c.target.address, Path: service + method},
		Header: http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {c.target.agent}},
		Body:   b.open(), ContentLength: b.size,
	}).WithContext(ctx)
	if b.size >= 0 {
		request.GetBody = func() (io.ReadCloser, error) { return b.open(), nil }
	}
	if c.target.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.target.token)
	}
	response, err := c.http.RoundTrip(request)
	if err != nil {
		return nil, broken(ctx, err)
	}
	s := &stream{ctx: ctx, response: response}
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/grpc") {
		s.close()
		return nil, &notGRPC{fmt.Sprintf("HTTP %s, %s", response.Status, response.Header.Get("Content-Type"))}
	}
	if err := statusOf(response.Header); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// next is the next message; io.EOF after the last, if all went well.
func (s *stream) next() ([]byte, error) {
	if s.ended {
		return nil, io.EOF
	}
	var prefix [prefixSize]byte
	if _, err := io.ReadFull(s.response.Body, prefix[:]); err != nil {
		s.ended = true
		if err != io.EOF {
			return nil, broken(s.ctx, err)
		}
		if s.response.Trailer.Get("Grpc-Status") == "" && s.response.Header.Get("Grpc-Status") == "" {
			return nil, broken(s.ctx, io.ErrUnexpectedEOF)
		}
		if err := statusOf(s.response.Trailer); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	size := binary.BigEndian.Uint32(prefix[1:])
	if prefix[0] != 0 {
		return nil, &notGRPC{"a compressed message"}
	}
	if size > MaxMessage {
		return nil, fettle.Errorf(fettle.Invalid, "Spark sends a message of %d bytes; expected at most %d (128 MiB)", size, MaxMessage)
	}
	text, err := readExactly(s.response.Body, int(size))
	if err != nil {
		return nil, broken(s.ctx, err)
	}
	return text, nil
}

// readExactly reads so many bytes. Room for many is made once some have come: a
// length is quickly said.
func readExactly(r io.Reader, size int) ([]byte, error) {
	const atFirst = 1 << 20
	text := make([]byte, min(size, atFirst))
	_, err := io.ReadFull(r, text)
	if err == nil && size > atFirst {
		text = append(make([]byte, 0, size), text...)[:size]
		_, err = io.ReadFull(r, text[atFirst:])
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return text, err
}

func (s *stream) close() { _ = s.response.Body.Close() } // nothing is left to lose

// statusOf reads how a call went; nil is well, or that it is not said here.
func statusOf(header http.Header) error {
	text := header.Get("Grpc-Status")
	if text == "" || text == "0" {
		return nil
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		return &notGRPC{"status " + fettle.Shorten(text)}
	}
	words := header.Get("Grpc-Message")
	if plain, err := url.PathUnescape(words); err == nil {
		words = plain
	}
	return &Status{Code: code, Message: words}
}

// broken is a fault of the transport, or why the caller has given up.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &fault{err}
}
