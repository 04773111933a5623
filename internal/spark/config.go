package spark

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"fettle"
)

// Config says which Connect server to talk to, and as whom.
type Config struct {
	// URL is sc://host:port/;key=value;… as in all of Spark's clients. The keys
	// are token, use_ssl, user_id and user_agent; the port is 15002 if none is
	// given.
	URL string
	// Token is what the server asks for, if the URL does not hold it.
	Token string
	// CAFile has the certificates (PEM) that the server's is signed by; "" for
	// the system's.
	CAFile string
	// Confs are Spark settings of the session, such as spark.executor.memory.
	Confs map[string]string
	// Binary opens the worker's program for Linux, and tells its size; Check
	// tries it on an executor. nil: that is not checked.
	Binary func() (io.ReadCloser, int64, error)
	// Log hears of faults that are got over; nil is silence.
	Log *slog.Logger
}

const (
	defaultPort = "15002"
	defaultUser = "fettle"
)

// A target is where a configuration leads.
type target struct {
	address     string // host:port
	host        string
	token, user string
	agent       string
	tls         *tls.Config // nil: in the clear
	open        bool        // the token goes in the clear beyond this computer
}

const howURL = "the address of a Spark Connect server, such as sc://spark-connect:15002"

// target reads the configuration.
func (c Config) target() (target, error) {
	if scheme, _, found := strings.Cut(c.URL, "://"); found && scheme == "spark" {
		return target{}, fettle.Errorf(fettle.Invalid, "%s is the address of a standalone master, and fettle talks to a Spark Connect server: `fettle spark serve-command %s` prints the command that starts one on that cluster; then use sc://HOST:15002", c.URL, c.URL)
	}
	t := target{user: defaultUser, agent: "fettle", token: c.Token}
	base, params, _ := strings.Cut(c.URL, ";")
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "sc" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
		return target{}, fettle.BadField("bad address", "url", redact(c.URL), howURL)
	}
	t.host = u.Hostname()
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return target{}, fettle.BadField("bad address", "url", redact(c.URL), "a port from 1 to 65535")
	}
	t.address = net.JoinHostPort(t.host, port)
	secure, said, err := t.params(params)
	if err != nil {
		return target{}, err
	}
	local := t.host == "localhost"
	if ip := net.ParseIP(t.host); ip != nil {
		local = ip.IsLoopback()
	}
	if !said {
		secure = t.token != "" && !local // as Spark's own clients do
	}
	t.open = t.token != "" && !secure && !local
	if secure {
		t.tls, err = c.trust(t.host)
	}
	return t, err
}

// params reads what stands behind the address. said: it says whether to use TLS.
func (t *target) params(text string) (secure, said bool, err error) {
	for param := range strings.SplitSeq(text, ";") {
		if param == "" {
			continue
		}
		key, value, _ := strings.Cut(param, "=")
		value, err := url.PathUnescape(value)
		if err != nil {
			return false, false, fettle.BadField("bad address", "url", key, "a value with only well-formed % escapes")
		}
		switch key {
		case "token":
			t.token = value
		case "user_id":
			t.user = value
		case "user_agent":
			t.agent = value
		case "use_ssl":
			if secure, err = strconv.ParseBool(value); err != nil {
				return false, false, fettle.BadField("bad address", "use_ssl", value, "true or false")
			}
			said = true
		default:
			return false, false, fettle.BadField("bad address", "url", key, "only token, use_ssl, user_id and user_agent after the address")
		}
	}
	if strings.ContainsFunc(t.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false, false, fettle.BadField("bad token", "token", "", "letters, digits and signs of ASCII, without spaces and line ends")
	}
	return secure, said, nil
}

// trust says whose certificates are believed.
func (c Config) trust(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if c.CAFile == "" {
		return config, nil
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fettle.Errorf(fettle.Invalid, "read the certificates to trust: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, fettle.BadField("bad certificates", "ca_file", c.CAFile, "a file with at least one certificate in PEM (BEGIN CERTIFICATE)")
	}
	return config, nil
}

// redact takes the token out of an address.
func redact(text string) string {
	before, after, found := strings.Cut(text, "token=")
	if !found {
		return text
	}
	if _, rest, more := strings.Cut(after, ";"); more {
		return before + "token=…;" + redact(rest)
	}
	return before + "token=…"
}
