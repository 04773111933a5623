package tunnel

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"fettle"
)

// A plan is how cloudflared is run once.
type plan struct {
	binary  string
	args    []string
	env     []string // beside the environment of this program
	target  string   // the keyed listener
	metrics metrics
	url     string // public address, if it is known before the start
	warning string
}

// elsewhere says that a service of the operating system keeps the tunnel.
type elsewhere struct{ service, url, warning string }

func (e elsewhere) Error() string {
	return strings.Trim("kept by the installed service "+e.service+", so not started a second time; "+e.warning, "; ")
}

// plan finds out how to run cloudflared now: keys, files and listeners may have
// changed since the last time.
func (t *Tunnel) plan() (plan, error) {
	keyed := t.Keyed()
	switch {
	case !t.HasKey():
		return plan{}, fettle.Errorf(fettle.Conflict, "no key exists, so nobody could use the tunnel; run `fettle key create NAME` first")
	case keyed == "":
		return plan{}, fettle.Errorf(fettle.Conflict, "http.keyed_listen is off, and a tunnel leads nowhere else; set it, to 127.0.0.1:8001 say")
	}
	binary, err := Find(t.cfg.Binary)
	if err != nil {
		return plan{}, err
	}
	run := plan{binary: binary, target: "http://" + keyed}
	if run.metrics.address, err = freeAddress(); err != nil {
		return plan{}, err
	}
	if t.cfg.Kind == Quick {
		err = t.planQuick(&run)
	} else {
		err = t.planNamed(&run)
	}
	return run, err
}

// base are the arguments of every run.
func (run *plan) base(file string) []string {
	return []string{"tunnel", "--config", file, "--no-autoupdate", "--metrics", run.metrics.address}
}

func (t *Tunnel) planQuick(run *plan) error {
	file, err := t.neutralFile()
	if err != nil {
		return err
	}
	run.metrics.quick = true
	run.args = append(run.base(file), "--url", run.target)
	return nil
}

// neutralFile is a configuration file that says nothing: cloudflared refuses
// quick tunnels beside one that it finds by itself and that names a tunnel.
func (t *Tunnel) neutralFile() (string, error) {
	path := filepath.Join(t.cfg.Folder, "neutral.yml")
	err := os.MkdirAll(t.cfg.Folder, 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte("# for tunnels that need no file\nno-autoupdate: true\n"), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("write cloudflared's configuration: %w", err)
	}
	return path, nil
}

func (t *Tunnel) planNamed(run *plan) error {
	if t.cfg.Hostname != "" {
		run.url = "https://" + t.cfg.Hostname
	}
	if t.cfg.Token != "" {
		file, err := t.neutralFile()
		// Never on the command line, which every user of the computer can read.
		run.env = []string{"TUNNEL_TOKEN=" + t.cfg.Token}
		run.args = append(run.base(file), "run")
		return err
	}
	file, err := t.file()
	if err != nil {
		return err
	}
	l := Listeners{Keyed: t.Keyed(), Open: t.Open()}
	if host := l.Hostname(file); host != "" && run.url == "" {
		run.url = "https://" + host
	}
	if service, found := t.cfg.Places.Service(); found && service.keeps(file, t.cfg.Name) {
		return elsewhere{service: service.Name, url: run.url, warning: l.Warning(service.File(t.cfg.Places))}
	}
	if warning := l.Warning(file); warning != "" {
		return fettle.Errorf(fettle.Conflict, "%s", warning)
	}
	// By what the file calls it: an id, which needs no look-up with the account's
	// certificate, as a name would.
	run.args = append(run.base(file.Path), "run", cmp.Or(file.Tunnel, t.cfg.Name))
	return nil
}

// file finds cloudflared's configuration of the tunnel: the one that is named,
// the one that setup has made, or the one that was there before.
func (t *Tunnel) file() (File, error) {
	if t.cfg.File != "" {
		f := ReadFile(t.cfg.File)
		return f, f.Err
	}
	candidates := append([]File{}, t.cfg.Places.Files()...)
	if own := OwnFile(t.cfg.Folder); exists(own) {
		candidates = append([]File{ReadFile(own)}, candidates...)
	}
	for _, f := range candidates {
		if f.Err == nil && f.names(t.cfg.Name, t.cfg.Places) {
			return f, nil
		}
	}
	var seen []string
	for _, f := range candidates {
		if f.Err != nil {
			return File{}, f.Err
		}
		seen = append(seen, fmt.Sprintf("%s, of the tunnel %q", f.Path, f.Tunnel))
	}
	if len(seen) == 0 {
		seen = []string{"nothing in " + strings.Join(t.cfg.Places.Dirs, ", ")}
	}
	return File{}, fettle.Errorf(fettle.NotFound, "found no configuration of cloudflared for the tunnel %q, but %s; `fettle tunnel setup NAME --hostname HOST` makes one", t.cfg.Name, strings.Join(seen, "; "))
}

// OwnFile is where setup puts cloudflared's configuration when cloudflared's
// own place is taken.
func OwnFile(folder string) string { return filepath.Join(folder, "config.yml") }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// cleanEnvironment leaves out what could lead a tunnel elsewhere, and our own
// settings, which may hold secrets.
func cleanEnvironment(environ []string) []string {
	ours := []string{"FETTLE_", "TUNNEL_TOKEN", "TUNNEL_URL", "TUNNEL_HOSTNAME", "TUNNEL_NAME", "TUNNEL_METRICS", "TUNNEL_CRED_", "TUNNEL_UNIX_SOCKET", "TUNNEL_HELLO_WORLD"}
	var kept []string
next:
	for _, variable := range environ {
		for _, start := range ours {
			if strings.HasPrefix(strings.ToUpper(variable), start) {
				continue next
			}
		}
		kept = append(kept, variable)
	}
	return kept
}
