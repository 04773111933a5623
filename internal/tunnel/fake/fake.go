// Package fake is a cloudflared for tests: it keeps the contract of the real
// one (arguments, metrics address, files, signals) as far as fettle uses it, and
// plays Cloudflare's edge itself, on loopback. A test binary becomes it by
// calling Main. Nothing of it is in the program.
package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Mode is the variable that says how it behaves; After, after how long.
const (
	Mode  = "FAKE_CLOUDFLARED"
	After = "FAKE_CLOUDFLARED_AFTER"
	// Calls is the path of a file to which each call is written: its arguments,
	// and the names of the variables with which it could be led astray.
	Calls = "FAKE_CLOUDFLARED_CALLS"
)

// Modes.
const (
	Ready       = "ready"
	NeverReady  = "never ready"
	Dies        = "dies"
	Garbage     = "garbage"
	IgnoresTerm = "ignores SIGTERM" // and so does the child that it starts
	Changes     = "URL changes"
	Hangs       = "hangs"
)

// Main is cloudflared's main function.
func Main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ERR", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if err := note(args); err != nil {
		return err
	}
	if slices.Contains(args, "--version") {
		fmt.Println("cloudflared version 2026.8.0 (fake)")
		return nil
	}
	if len(args) == 0 || args[0] != "tunnel" {
		return fmt.Errorf("unknown command %q", args)
	}
	flags, rest := split(args[1:])
	if len(rest) == 1 && rest[0] == "ready" {
		return ready(flags["metrics"])
	}
	if len(rest) > 0 && rest[0] != "run" {
		return account(flags, rest)
	}
	return serve(flags, rest)
}

// split parts flags from words.
func split(args []string) (flags map[string]string, rest []string) {
	flags = map[string]string{}
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "--")
		switch {
		case !isFlag:
			rest = append(rest, args[i])
		case name == "no-autoupdate":
			flags[name] = "true"
		case i+1 < len(args):
			flags[name] = args[i+1]
			i++
		}
	}
	return flags, rest
}

func note(args []string) error {
	path := os.Getenv(Calls)
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var led []string
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TUNNEL_") || strings.HasPrefix(name, "FETTLE_") {
			led = append(led, name)
		}
	}
	_, err = fmt.Fprintf(file, "%s | %s\n", strings.Join(args, " "), strings.Join(led, " "))
	return errors.Join(err, file.Close())
}

// serve runs a tunnel until it is told to stop.
func serve(flags map[string]string, rest []string) error {
	target := flags["url"]
	if len(rest) > 0 && os.Getenv("TUNNEL_TOKEN") == "" && !strings.Contains(readAll(flags["config"]), "tunnel:") {
		return errors.New("neither a token nor a tunnel in the configuration")
	}
	mode, after := os.Getenv(Mode), 100*time.Millisecond
	if d, err := time.ParseDuration(os.Getenv(After)); err == nil {
		after = d
	}
	fmt.Fprintln(os.Stderr, "INF Starting tunnel")
	edge := httptest.NewTLSServer(Edge(target, "127.0.0.1"))
	defer edge.Close()
	listener, err := net.Listen("tcp", flags["metrics"])
	if err != nil {
		return err
	}
	state := &state{mode: mode, quick: len(rest) == 0, edge: edge.Listener.Addr().String()}
	go func() { _ = http.Serve(listener, state) }()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt, syscall.SIGTERM)
	switch mode {
	case Dies:
		time.Sleep(after)
		return errors.New("failed to serve tunnel connection")
	case Garbage:
		fmt.Fprint(os.Stderr, "\x00\xff\x1b[31m{{{\n\x07")
	case IgnoresTerm:
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		if err := startChild(); err != nil {
			return err
		}
		select {}
	}
	<-asked
	return nil
}

// ready asks another one, which runs, whether it is connected.
func ready(metrics string) error {
	response, err := http.Get("http://" + metrics + "/ready")
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("not ready: %s", response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

// startChild starts a process that ignores signals too.
func startChild() error {
	cmd := exec.Command(os.Args[0], "tunnel", "--metrics", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), Mode+"=ignores SIGTERM alone", After+"=1h")
	signal.Ignore(os.Interrupt, syscall.SIGTERM) // handed on to it
	if err := cmd.Start(); err != nil {
		return err
	}
	return os.WriteFile(os.Getenv(Calls)+".child", fmt.Append(nil, cmd.Process.Pid), 0o600)
}

func readAll(path string) string {
	text, _ := os.ReadFile(path) // empty if there is none
	return string(text)
}

// state answers at the metrics address.
type state struct {
	mode, edge string
	quick      bool
	asked      atomic.Int64
}

func (s *state) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.mode == Hangs {
		<-r.Context().Done()
		return
	}
	if s.mode == Garbage {
		_, _ = w.Write([]byte("\x00<html>{{{"))
		return
	}
	switch r.URL.Path {
	case "/ready":
		connections := 4
		if s.mode == NeverReady {
			connections = 0
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, `{"status":200,"readyConnections":%d,"connectorId":"00000000-0000-0000-0000-000000000000"}`, connections)
	case "/quicktunnel":
		hostname := s.edge
		if s.mode == Changes && s.asked.Add(1) > 3 {
			hostname = "localhost" + strings.TrimPrefix(s.edge, "127.0.0.1")
		}
		if s.quick {
			fmt.Fprintf(w, `{"hostname":%q}`, hostname)
		} else {
			http.NotFound(w, r)
		}
	case "/healthcheck":
		fmt.Fprintln(w, "OK")
	default:
		http.NotFound(w, r)
	}
}

// account plays the commands for the account's tunnels, which it keeps in a
// file beside the certificate.
func account(flags map[string]string, rest []string) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(home, ".cloudflared")
	certificate := filepath.Join(dir, "cert.pem")
	if rest[0] == "login" {
		fmt.Println("Please open the following URL and log in with your Cloudflare account")
		return errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(certificate, []byte("certificate"), 0o600))
	}
	if _, err := os.Stat(certificate); err != nil {
		return errors.New("cannot determine default origin certificate path; run tunnel login")
	}
	return book{dir, filepath.Join(dir, "account.json")}.do(flags, rest)
}

type book struct{ dir, path string }

type made struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	DeletedAt time.Time `json:"deleted_at"`
	Conns     []string  `json:"connections"`
}

func (b book) do(flags map[string]string, rest []string) error {
	list := []made{}
	if text := readAll(b.path); text != "" {
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return err
		}
	}
	switch strings.Join(rest[:min(2, len(rest))], " ") {
	case "list":
		return json.NewEncoder(os.Stdout).Encode(list)
	case "route dns":
		if len(rest) != 4 || !slices.ContainsFunc(list, func(m made) bool { return m.Name == rest[2] }) {
			return errors.New("no such tunnel")
		}
		if strings.HasPrefix(rest[3], "taken.") {
			return errors.New("an A, AAAA, or CNAME record with that host already exists")
		}
		return nil
	}
	switch rest[0] {
	case "create":
		one := made{ID: fmt.Sprintf("6ff42ae2-0000-4000-8000-%012d", len(list)+1), Name: rest[1], CreatedAt: time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC), Conns: []string{}}
		text, err := json.Marshal(append(list, one))
		return errors.Join(err, os.WriteFile(b.path, text, 0o600), os.WriteFile(filepath.Join(b.dir, one.ID+".json"), []byte("{}"), 0o600))
	case "token":
		return os.WriteFile(flags["cred-file"], []byte("{}"), 0o600)
	}
	return fmt.Errorf("unknown command %q", rest)
}
