package tunnel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"fettle"
	"fettle/internal/child"
)

// Find finds cloudflared: by the path or the name that is set, else on the PATH
// and where its installers put it.
func Find(binary string) (string, error) {
	name := binary
	if name == "" {
		name = "cloudflared"
	}
	path, err := exec.LookPath(name)
	if err == nil || errors.Is(err, exec.ErrDot) {
		return path, nil
	}
	if binary == "" || binary == "cloudflared" {
		for _, usual := range usualBinaries() {
			if exists(usual) {
				return usual, nil
			}
		}
	}
	return "", fettle.Errorf(fettle.NotFound, "cloudflared is not there (%s). %s", name, HowToGet(runtime.GOOS))
}

// usualBinaries are where installers put it, which a service's PATH may lack.
func usualBinaries() []string {
	if runtime.GOOS != "windows" {
		return []string{"/usr/local/bin/cloudflared", "/usr/bin/cloudflared", "/opt/homebrew/bin/cloudflared"}
	}
	var paths []string
	for _, variable := range []string{"ProgramFiles(x86)", "ProgramFiles"} {
		if folder := os.Getenv(variable); folder != "" {
			paths = append(paths, filepath.Join(folder, "cloudflared", "cloudflared.exe"))
		}
	}
	return paths
}

// HowToGet says how a person gets cloudflared on a system.
func HowToGet(system string) string {
	const page = "https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/downloads/"
	const set = "tunnel.binary names it if it is not on the PATH."
	switch system {
	case "windows":
		return "Get it with `winget install --id Cloudflare.cloudflared`, or from " + page + ". " + set
	case "darwin":
		return "Get it with `brew install cloudflared`, or from " + page + ". " + set
	default:
		return "Get the package for this system (.deb, .rpm, or the program alone) from " + page + ". " + set
	}
}

// A Cloudflared is the user's program, for commands that come to an end.
type Cloudflared struct{ Path string }

const (
	commandWithin = 2 * time.Minute // for a command that asks nobody
	maxOutput     = 4 << 20
)

// Version is what the program says of itself.
func (c Cloudflared) Version(ctx context.Context) (string, error) {
	out, err := c.output(ctx, "--version")
	first, _, _ := strings.Cut(string(out), "\n")
	return tidy(first), err
}

// A Made is a tunnel of the account.
type Made struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	CreatedAt   time.Time `json:"created_at"`
	Connections int       `json:"connections"`
}

// List lists the tunnels of the account.
func (c Cloudflared) List(ctx context.Context) ([]Made, error) {
	out, err := c.output(ctx, "tunnel", "list", "--output", "json")
	if err != nil {
		return nil, err
	}
	return parseList(out)
}

// parseList reads what `tunnel list --output json` prints.
func parseList(text []byte) ([]Made, error) {
	var list []struct {
		ID          string            `json:"id"`
		Name        string            `json:"name"`
		CreatedAt   time.Time         `json:"created_at"`
		DeletedAt   time.Time         `json:"deleted_at"`
		Connections []json.RawMessage `json:"connections"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fettle.Errorf(fettle.Invalid, "cloudflared's list of tunnels cannot be read: %w", err)
	}
	made := []Made{}
	for _, one := range list {
		if one.DeletedAt.IsZero() {
			made = append(made, Made{ID: tidy(one.ID), Name: tidy(one.Name), CreatedAt: one.CreatedAt, Connections: len(one.Connections)})
		}
	}
	return made, nil
}

// output runs a command and returns what it prints on standard output.
func (c Cloudflared) output(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandWithin)
	defer cancel()
	var out, said bounded
	cmd := exec.Command(c.Path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = cleanEnvironment(os.Environ()), &out, &said
	err := child.Run(ctx, cmd, time.Second, nil)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("cloudflared %s: %w: %s", strings.Join(args, " "), err, lastLineOf(said.String()))
	}
	return out.Bytes(), nil
}

func lastLineOf(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return fettle.Shorten(tidy(lines[len(lines)-1]))
}

// bounded keeps the beginning of what a command prints.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := maxOutput - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
