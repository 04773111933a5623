package spark

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"syscall"

	"fettle"
)

// Codes of gRPC that are told apart here (https://grpc.io/docs/guides/status-codes).
const (
	codeCancelled         = 1
	codePermissionDenied  = 7
	codeResourceExhausted = 8
	codeUnimplemented     = 12
	codeUnavailable       = 14
	codeUnauthenticated   = 16
)

// A Status is the server's word that a call has failed.
type Status struct {
	Code    int    // of gRPC
	Message string // Spark's, which begins with its [CLASS.SUBCLASS]
}

func (s *Status) Error() string {
	return "Spark says: " + strings.TrimSpace(s.Message)
}

// Class is Spark's class of the error, such as INVALID_HANDLE.OPERATION_NOT_FOUND
// (common/utils/src/main/resources/error/error-conditions.json); "" if it has
// none.
func (s *Status) Class() string {
	_, rest, found := strings.Cut(s.Message, "[")
	class, _, closed := strings.Cut(rest, "]")
	if !found || !closed || class == "" || strings.Trim(class, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.") != "" {
		return ""
	}
	return class
}

// ErrInterrupted is why an operation has no result that was interrupted.
var ErrInterrupted = errors.New("the operation was interrupted")

// ErrLost says that the server knows nothing of the session or the operation,
// any more: it was started anew, or has waited for too long. What it was to do
// must be asked for again, in a new session.
var ErrLost = errors.New("the Spark server no longer knows it; it was restarted, or nobody asked for too long")

// A fault is one of the transport: the server may be there again in a moment.
type fault struct{ error }

func (f *fault) Unwrap() error { return f.error }

// notGRPC says that whoever answers is no gRPC server.
type notGRPC struct{ got string }

func (n *notGRPC) Error() string { return "no gRPC answer (" + n.got + ")" }

// passing tells whether the same call may go well in a moment.
func passing(err error) bool {
	var f *fault
	var s *Status
	switch {
	case errors.As(err, &s):
		return s.Code == codeUnavailable
	case errors.As(err, &f):
		return !untrusted(err)
	}
	return false
}

// refused tells whether there is nobody at the address: a server that has ended,
// and with it all that it knew.
func refused(err error) bool {
	const onWindows = syscall.Errno(10061) // WSAECONNREFUSED
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, onWindows)
}

func untrusted(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(x509.HostnameError)) || errors.As(err, new(tls.RecordHeaderError))
}

// class is Spark's class of an error; "" if it is not Spark's.
func class(err error) string {
	var s *Status
	if errors.As(err, &s) {
		return s.Class()
	}
	return ""
}

// explain makes of whatever has gone wrong an error that a person can act upon.
func (t target) explain(err error) error {
	var s *Status
	var f *fault
	var n *notGRPC
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &s):
		return t.explainStatus(s)
	case errors.As(err, &n):
		return fettle.Errorf(fettle.Invalid, "no Spark Connect server at %s, but something else: %w. A master's port (7077) and its web page (8080) are not it; `fettle spark serve-command` prints how to start one", t.address, err)
	case errors.As(err, &f):
		return t.explainFault(err)
	}
	return err
}

func (t target) explainStatus(s *Status) error {
	class := s.Class()
	switch {
	case s.Code == codeUnauthenticated || s.Code == codePermissionDenied:
		if t.token == "" {
			return fettle.Errorf(fettle.Forbidden, "the Spark server at %s wants a token: the one that it was started with (SPARK_CONNECT_AUTHENTICATE_TOKEN, or spark.connect.authenticate.token)", t.address)
		}
		return fettle.Errorf(fettle.Forbidden, "the Spark server at %s does not take this token; it is the one that it was started with (SPARK_CONNECT_AUTHENTICATE_TOKEN, or spark.connect.authenticate.token)", t.address)
	case strings.HasPrefix(class, "INVALID_HANDLE.") || strings.HasPrefix(class, "INVALID_CURSOR."):
		return fettle.Errorf(fettle.NotFound, "%w (%s)", ErrLost, class)
	case class == "OPERATION_CANCELED", s.Code == codeCancelled:
		return ErrInterrupted
	case s.Code == codeResourceExhausted:
		return fettle.Errorf(fettle.Invalid, "too large for the Spark server at %s (%w): raise its spark.connect.grpc.maxInboundMessageSize, at most to %d", t.address, s, MaxMessage)
	case s.Code == codeUnimplemented:
		return fettle.Errorf(fettle.Conflict, "the server at %s does not know the call (%w); expected Spark Connect of Spark 4.0 or newer", t.address, s)
	case s.Code == codeUnavailable:
		return fettle.Errorf(fettle.Unavailable, "the Spark server at %s is not available: %w", t.address, s)
	}
	return s
}

func (t target) explainFault(err error) error {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var lookup *net.DNSError
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		return fettle.Errorf(fettle.Invalid, "the server at %s does not speak TLS: take ;use_ssl=true out of the address, or give use_ssl=false with a token in a network that you trust", t.address)
	case errors.As(err, &authority):
		return fettle.Errorf(fettle.Forbidden, "the certificate of the server at %s is not signed by anybody that is trusted here: %w; name a file with its authority's certificate (ca_file)", t.address, err)
	case errors.As(err, &name):
		return fettle.Errorf(fettle.Forbidden, "the certificate of the server at %s is for another name: %w; use the name that stands in it", t.address, err)
	case untrusted(err):
		return fettle.Errorf(fettle.Forbidden, "the certificate of the server at %s is not to be trusted: %w", t.address, err)
	case errors.As(err, &lookup):
		return fettle.Errorf(fettle.Unavailable, "no computer is known by the name %s: %w", t.host, err)
	case refused(err):
		return fettle.Errorf(fettle.Unavailable, "no Spark Connect server runs at %s (connection refused); `fettle spark serve-command` prints how to start one", t.address)
	}
	hint := ""
	if t.tls == nil {
		hint = "; if it expects TLS, add ;use_ssl=true to the address"
	}
	return fettle.Errorf(fettle.Unavailable, "the connection to the Spark server at %s broke: %w%s", t.address, err, hint)
}
