// Package process runs fettle as a process of its own, and real peers beside
// it, as a user or an operating system does: the story, the benchmarks and the
// tests that end in kill -9 drive the program through it. Nothing of it is in
// the program itself.
package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"fettle/internal/config"
)

// A Server is a running `fettle serve`, and where it listens.
type Server struct {
	config.Server
	Folder     string        // its data
	ReadyAfter time.Duration // from its start to server.json

	binary  string
	process *exec.Cmd
	before  config.Server // the note that an earlier server has left
	log     locked
	ended   chan struct{} // closed when the process is gone
}

// outputWithin is how long what others hold open may keep a process that has
// ended: under Wine, processes of its own may have come with it.
const outputWithin = 5 * time.Second

// Start runs `binary serve` (or another command that serves) over a data folder
// on free ports, and waits until it has said where it is.
func Start(ctx context.Context, binary, folder string, args ...string) (*Server, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return nil, err
	}
	if len(args) == 0 {
		args = []string{"serve"}
	}
	s := &Server{Folder: folder, binary: binary, ended: make(chan struct{})}
	s.process = exec.CommandContext(ctx, binary, args...)
	s.process.Env = append(os.Environ(), "FETTLE_DATA_DIR="+folder, "FETTLE_HTTP_LISTEN=127.0.0.1:0", "FETTLE_HTTP_KEYED_LISTEN=127.0.0.1:0",
		"FETTLE_MQTT_LISTEN=127.0.0.1:0", "FETTLE_MQTT_WEBSOCKET=127.0.0.1:0")
	s.process.Dir = filepath.Dir(folder)
	s.process.Stdout, s.process.Stderr = &s.log, &s.log
	s.process.WaitDelay = outputWithin
	s.before, _ = config.ReadServer(folder) // there may be none
	began := time.Now()
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start fettle: %w", err)
	}
	go func() {
		_ = s.process.Wait() // how it ended is seen by who waits for it
		close(s.ended)
	}()
	if err := WaitFor(ctx, "fettle to be ready", func() (bool, error) { return s.announced() }); err != nil {
		s.Kill()
		return nil, fmt.Errorf("%w; it said:\n%s", err, s.Log())
	}
	s.ReadyAfter = time.Since(began)
	return s, nil
}

// announced reads server.json once it is this process that wrote it. The token
// tells, which each has anew: a Windows program's process id is one of Wine's.
func (s *Server) announced() (bool, error) {
	select {
	case <-s.ended:
		return false, fmt.Errorf("fettle ended: %s", s.process.ProcessState)
	default:
	}
	where, err := config.ReadServer(s.Folder)
	if err != nil || where.Token == s.before.Token {
		return false, nil
	}
	s.Server = where
	return true, nil
}

// Log is what the process has written so far.
func (s *Server) Log() string { return s.log.String() }

// Stop asks the process to end, as Ctrl-C does, and waits.
func (s *Server) Stop() {
	_ = s.process.Process.Signal(os.Interrupt) // it may be gone already
	<-s.ended
}

// Ended waits until the process ends by itself, and tells if not well.
func (s *Server) Ended(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
	}
	if s.process.ProcessState.Success() {
		return nil
	}
	return fmt.Errorf("fettle ended with %s; it said:\n%s", s.process.ProcessState, s.Log())
}

// Kill ends the process as kill -9 does, and waits.
func (s *Server) Kill() {
	_ = s.process.Process.Kill() // it may be gone already
	<-s.ended
}

// Command runs one of fettle's own commands beside the server and returns what
// it printed.
func (s *Server) Command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env = append(os.Environ(), "FETTLE_DATA_DIR="+s.Folder)
	cmd.Dir = filepath.Dir(s.Folder)
	cmd.WaitDelay = outputWithin
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return "", fmt.Errorf("fettle %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Get asks the server and decodes its JSON.
func (s *Server) Get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.HTTP+path, nil)
	if err != nil {
		return err
	}
	return answer(request, into)
}

// Post sends JSON to the server, with the token of commands beside it, and
// decodes the answer.
func (s *Server) Post(ctx context.Context, path string, in, into any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.HTTP+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+s.Token.Reveal())
	return answer(request, into)
}

func answer(request *http.Request, into any) error {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", request.Method, request.URL.Path, response.Status, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s %s: %w: %s", request.Method, request.URL.Path, err, text)
	}
	return nil
}

// Resident and peak memory of the process in bytes (proc(5): VmRSS, VmHWM).
func (s *Server) ResidentBytes() (int64, error) { return memory(s.process.Process.Pid, "VmRSS:") }
func (s *Server) PeakBytes() (int64, error)     { return memory(s.process.Process.Pid, "VmHWM:") }

// CPU is how much of a processor the server has used.
func (s *Server) CPU() (time.Duration, error) { return CPU(s.process.Process.Pid) }

// CPU is how much of a processor a process has used, what it started aside
// (proc(5): utime and stime, in hundredths of a second).
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // a name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is %q", pid, text)
	}
	var ticks time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += time.Duration(n)
	}
	return ticks * time.Second / 100, nil
}

func memory(pid int, field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, field); found {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/%d/status", field, pid)
}

// WaitFor asks again and again until something holds; two minutes at most.
func WaitFor(ctx context.Context, what string, holds func() (bool, error)) error {
	return waitFor(ctx, 2*time.Minute, what, holds)
}

func waitFor(ctx context.Context, patience time.Duration, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := holds()
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %s: %w", what, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Processor is the name of the computer's processor, as Linux has it.
func Processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// A Mosquitto is a running Mosquitto broker.
type Mosquitto struct {
	Address string // host:port
	process *exec.Cmd
}

// StartMosquitto runs the Mosquitto on the PATH on a free port of loopback,
// open to everybody and keeping nothing.
func StartMosquitto(ctx context.Context, folder string) (*Mosquitto, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	m := &Mosquitto{Address: address}
	_, port, err := net.SplitHostPort(m.Address)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "mosquitto.conf")
	conf := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nlog_type error\n", port)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	m.process = exec.CommandContext(ctx, "mosquitto", "-c", file)
	if err := m.process.Start(); err != nil {
		return nil, fmt.Errorf("start mosquitto: %w", err)
	}
	err = WaitFor(ctx, "mosquitto to listen", func() (bool, error) {
		conn, err := net.Dial("tcp", m.Address)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
	if err != nil {
		m.Stop()
		return nil, err
	}
	return m, nil
}

// freeAddress finds a port of loopback for a peer that takes no port 0. Should
// somebody else take it meanwhile, the peer ends and the wait for it says so.
func freeAddress() (string, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return free.Addr().String(), free.Close()
}

// Stop ends the broker and waits.
func (m *Mosquitto) Stop() {
	_ = m.process.Process.Kill() // it may be gone already
	_ = m.process.Wait()         // how it ended is of no interest
}

// MosquittoVersion is what the Mosquitto on the PATH calls itself.
func MosquittoVersion(ctx context.Context) string {
	out, _ := exec.CommandContext(ctx, "mosquitto", "-h").CombinedOutput() // exits with 3, and says its version
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

// locked is a buffer that a process writes to while others read it.
type locked struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
