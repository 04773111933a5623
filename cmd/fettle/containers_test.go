//go:build peers_light || peers

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fettle/internal/process"
)

// A composition is a compose file as docker compose understands it.
type composition struct {
	Services map[string]container
	Configs  map[string]struct{ Content string }
}

// A container is what would be started in one.
type container struct {
	Image       string
	Build       *struct{ Dockerfile string }
	Entrypoint  []string
	Command     []string
	Environment map[string]string
	Healthcheck struct{ Test []string }
	Memory      string `json:"mem_limit"`
	Restart     string
}

// composed reads a compose file with the library of docker compose, which
// checks it by the schema of the specification.
func composed(t *testing.T, file string, env ...string) composition {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "./compose", path)
	cmd.Dir, cmd.Env = "../../tools", append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			t.Fatalf("%s: %s", file, exit.Stderr)
		}
		t.Fatal(err)
	}
	var c composition
	if err := json.Unmarshal(out, &c); err != nil {
		t.Fatal(err)
	}
	for name, one := range c.Services {
		if one.Build != nil {
			c.Services[name] = imaged(t, one)
		}
	}
	return c
}

// imaged adds to a container of fettle's what the Dockerfile says.
func imaged(t *testing.T, c container) container {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", c.Build.Dockerfile))
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(text), "\nFROM ")
	list := func(json_ string) (words []string) {
		if err := json.Unmarshal([]byte(json_), &words); err != nil {
			t.Fatalf("%s: %v", json_, err)
		}
		return words
	}
	env := map[string]string{"HOME": "/"} // as Docker has it for a user without one
	for line := range strings.Lines(stages[len(stages)-1]) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "ENV":
			for pair := range strings.FieldsSeq(rest) {
				name, value, _ := strings.Cut(pair, "=")
				env[name] = value
			}
		case "ENTRYPOINT":
			c.Entrypoint = list(rest)
		case "CMD":
			c.Command = list(rest)
		case "HEALTHCHECK":
			c.Healthcheck.Test = append([]string{"CMD"}, list(rest[strings.Index(rest, "CMD ")+4:])...)
		}
	}
	for name, value := range c.Environment {
		env[name] = value
	}
	c.Environment = env
	return c
}

// A plain container is run as a plain process: other programs stand for those
// inside, by their names, and replace says what does for paths, names and ports.
type plain struct {
	container
	dir      string
	programs map[string]string
	replace  *strings.Replacer
}

// command runs words in the container's environment.
func (p plain) command(ctx context.Context, words ...string) *exec.Cmd {
	program, args := words[0], []string{}
	if stands, found := p.programs[program]; found {
		program = stands
	}
	for _, word := range words[1:] {
		args = append(args, p.replace.Replace(word))
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = p.dir, []string{}
	for name, value := range p.Environment {
		cmd.Env = append(cmd.Env, name+"="+p.replace.Replace(value))
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // as docker stop does
	return cmd
}

// start starts it; stop ends it, and says what it said if it did not end well.
func (p plain) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := p.command(ctx, slices.Concat(p.Entrypoint, p.Command)...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		cancel()
		err := cmd.Wait()
		if p.Build == nil && fmt.Sprint(err) == "signal: terminated" {
			err = nil // a peer need not catch the signal
		}
		if err != nil && !errors.Is(err, context.Canceled) { // which says that it ended well
			t.Errorf("%v: %v", cmd.Args, err)
		}
		file.Close()
		if t.Failed() {
			said, _ := os.ReadFile(log) // empty if it cannot be read
			t.Logf("%v said:\n%s", cmd.Args, said)
		}
	}
	return stop
}

// healthy waits until the container's own check says so.
func (p plain) healthy(t *testing.T) {
	t.Helper()
	err := process.WaitFor(t.Context(), "the container to be healthy", func() (bool, error) {
		return p.command(t.Context(), p.Healthcheck.Test[1:]...).Run() == nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// freePort finds a port of loopback for what takes no port 0.
func freePort(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

var secretsOfFull = []string{"INFLUX_TOKEN=token-of-a-test", "INFLUX_PASSWORD=password-of-a-test", "SPARK_TOKEN=t", "TUNNEL_TOKEN=t"}

// pinned is an image of one version; ours is built here.
var pinned = regexp.MustCompile(`^[a-z/-]+:\d+\.\d+(\.\d+)?$|^fettle:local$`)

func wellKept(t *testing.T, c composition) {
	t.Helper()
	for name, one := range c.Services {
		if !pinned.MatchString(one.Image) || one.Memory == "" || one.Restart != "unless-stopped" || len(one.Healthcheck.Test) < 2 {
			t.Errorf("%s: image %s, memory %q, restart %q, healthcheck %q; expected a version, a limit, unless-stopped, and a check", name, one.Image, one.Memory, one.Restart, one.Healthcheck.Test)
		}
	}
}
