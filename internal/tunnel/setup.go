package tunnel

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"fettle"
	"fettle/internal/child"
	"fettle/internal/rename"
)

// A Setup makes a named tunnel, once. Each step looks first whether it is done
// already, so that a setup that was broken off goes on where it was.
type Setup struct {
	Name      string
	Hostname  string // public name; empty: the one that an existing file has, or none yet
	Binary    string
	Listeners Listeners
	Places    Places
	Folder    string                           // fettle's own, for a file beside one that is there already
	Say       func(format string, args ...any) // tells of each step
	Terminal  io.Writer                        // what cloudflared says while it signs in
}

// A Result is what a setup has brought about.
type Result struct {
	File    File
	Service *Service // installed already
}

// Run goes through the steps.
func (s Setup) Run(ctx context.Context) (Result, error) {
	path, err := Find(s.Binary)
	if err != nil {
		return Result{}, err
	}
	program := Cloudflared{path}
	version, err := program.Version(ctx)
	if err != nil {
		return Result{}, err
	}
	s.Say("cloudflared is %s: %s", path, version)
	if err := s.signIn(ctx, program); err != nil {
		return Result{}, err
	}
	made, err := s.make(ctx, program)
	if err != nil {
		return Result{}, err
	}
	credentials, err := s.credentials(ctx, program, made)
	if err != nil {
		return Result{}, err
	}
	if err := s.route(ctx, program); err != nil {
		return Result{}, err
	}
	file, err := s.configure(made, credentials)
	if err != nil {
		return Result{}, err
	}
	result := Result{File: file}
	if service, found := s.Places.Service(); found {
		result.Service = &service
	}
	return result, nil
}

// signIn has the person sign in, in a browser, unless that was done before.
func (s Setup) signIn(ctx context.Context, program Cloudflared) error {
	if path, found := s.Places.Certificate(); found {
		s.Say("signed in already: %s", path)
		return nil
	}
	s.Say("signing in: follow what cloudflared says, in a browser")
	if err := s.interactive(ctx, program, "tunnel", "login"); err != nil {
		return err
	}
	path, found := s.Places.Certificate()
	if !found {
		return fettle.Errorf(fettle.NotFound, "cloudflared has signed in, but left no cert.pem in %s", strings.Join(s.Places.Dirs, ", "))
	}
	s.Say("signed in: %s", path)
	return nil
}

// interactive runs a command that speaks with the person.
func (s Setup) interactive(ctx context.Context, program Cloudflared, args ...string) error {
	cmd := exec.Command(program.Path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = cleanEnvironment(os.Environ()), s.Terminal, s.Terminal
	err := child.Run(ctx, cmd, time.Second, nil)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("cloudflared %s: %w; the same `fettle tunnel setup` again goes on from here", strings.Join(args, " "), err)
	}
	return nil
}

// make makes the tunnel unless the account has it.
func (s Setup) make(ctx context.Context, program Cloudflared) (Made, error) {
	made, found, err := s.find(ctx, program)
	if err != nil || found {
		if found {
			s.Say("the tunnel is there already: %s, id %s", made.Name, made.ID)
		}
		return made, err
	}
	if _, err := program.output(ctx, "tunnel", "create", s.Name); err != nil {
		return Made{}, err
	}
	made, found, err = s.find(ctx, program)
	if err == nil && !found {
		err = fettle.Errorf(fettle.NotFound, "cloudflared has made the tunnel %s, but does not list it", s.Name)
	}
	if err == nil {
		s.Say("made the tunnel %s, id %s", made.Name, made.ID)
	}
	return made, err
}

func (s Setup) find(ctx context.Context, program Cloudflared) (Made, bool, error) {
	list, err := program.List(ctx)
	for _, one := range list {
		if one.Name == s.Name || one.ID == s.Name {
			return one, true, err
		}
	}
	return Made{}, false, err
}

// credentials finds the file with which the tunnel can be run here, and fetches
// it if the tunnel was made on another computer.
func (s Setup) credentials(ctx context.Context, program Cloudflared, made Made) (string, error) {
	if path, found := s.Places.Credentials(made.ID); found {
		s.Say("its credentials: %s", path)
		return path, nil
	}
	dir, err := s.Places.own()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, made.ID+".json")
	if _, err := program.output(ctx, "tunnel", "token", "--cred-file", path, made.ID); err != nil {
		return "", fmt.Errorf("fetch the tunnel's credentials, which are not in %s: %w; or copy %s.json from the computer on which it was made", strings.Join(s.Places.Dirs, ", "), err, made.ID)
	}
	s.Say("fetched its credentials: %s", path)
	return path, nil
}

// route names the tunnel in the DNS. cloudflared itself is content if the name
// is there and leads to the same tunnel.
func (s Setup) route(ctx context.Context, program Cloudflared) error {
	if s.Hostname == "" {
		return nil
	}
	if _, err := program.output(ctx, "tunnel", "route", "dns", s.Name, s.Hostname); err != nil {
		return fmt.Errorf("lead %s to the tunnel: %w; if the name leads elsewhere, remove it from the DNS at Cloudflare first", s.Hostname, err)
	}
	s.Say("%s leads to the tunnel", s.Hostname)
	return nil
}

// configure writes cloudflared's configuration, unless there is one that fits.
// One that does not fit is left as it is, and another written beside it.
func (s Setup) configure(made Made, credentials string) (File, error) {
	hostname := s.Hostname
	existing := s.Places.Files()
	if own := OwnFile(s.Folder); exists(own) {
		existing = append([]File{ReadFile(own)}, existing...)
	}
	for _, f := range existing {
		ofThis := f.Err == nil && (f.Tunnel == made.ID || f.Tunnel == made.Name)
		if ofThis && s.Listeners.Warning(f) == "" && (hostname == "" || s.Listeners.Hostname(f) == hostname) {
			s.Say("the configuration fits as it is: %s", f.Path)
			return f, nil
		}
		if ofThis && hostname == "" {
			hostname = s.Listeners.Hostname(f)
		}
	}
	if hostname == "" {
		return File{}, fettle.Errorf(fettle.Invalid, "no public name yet; add --hostname, such as --hostname iot-api.example.com, in a domain that is at Cloudflare")
	}
	dir, err := s.Places.own()
	if err != nil {
		return File{}, err
	}
	path := filepath.Join(dir, "config.yml")
	for _, f := range existing {
		path = OwnFile(s.Folder)
		if warning := s.Listeners.Warning(f); warning != "" && f.Path != path {
			s.Say("left as it is: %s", warning)
		}
	}
	if err := writeFile(path, fileText(made.ID, credentials, hostname, s.Listeners.Keyed)); err != nil {
		return File{}, err
	}
	s.Say("wrote %s", path)
	f := ReadFile(path)
	return f, f.Err
}

// fileText is a configuration of cloudflared with one public name. Paths are in
// single quotes, in which YAML takes a backslash for what it is.
func fileText(id, credentials, hostname, keyed string) string {
	return fmt.Sprintf(`# Written by fettle tunnel setup.
tunnel: %s
credentials-file: '%s'
ingress:
  - hostname: %s
    service: http://%s
  - service: http_status:404
`, id, strings.ReplaceAll(credentials, "'", "''"), hostname, keyed)
}

func writeFile(path, text string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path+".new", []byte(text), 0o600)
	}
	if err == nil {
		err = rename.To(path+".new", path)
	}
	if err != nil {
		_ = os.Remove(path + ".new") // if it is there
		return fmt.Errorf("write cloudflared's configuration: %w", err)
	}
	return nil
}
