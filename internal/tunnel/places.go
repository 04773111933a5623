package tunnel

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"fettle"
)

// Places are where cloudflared keeps its files on this system.
type Places struct {
	Dirs []string // of config.yml, cert.pem and <id>.json; the user's own first
	// Units are the files in which an installed service stands; on Windows the
	// registry holds it.
	Units []string
}

// SystemPlaces are those of this user and this system.
func SystemPlaces() Places {
	var p Places
	if home, err := os.UserHomeDir(); err == nil {
		for _, name := range []string{".cloudflared", ".cloudflare-warp", "cloudflare-warp"} {
			p.Dirs = append(p.Dirs, filepath.Join(home, name))
		}
	}
	p.Dirs = append(p.Dirs, systemDirs()...)
	p.Units = systemUnits()
	return p
}

// own is the user's folder, to which cloudflared itself writes.
func (p Places) own() (string, error) {
	if len(p.Dirs) == 0 {
		return "", fettle.Errorf(fettle.NotFound, "this user has no home folder, in which cloudflared keeps its files; set HOME")
	}
	return p.Dirs[0], nil
}

// find returns the first file of a name.
func (p Places) find(name string) (path string, found bool) {
	for _, dir := range p.Dirs {
		if path := filepath.Join(dir, name); exists(path) {
			return path, true
		}
	}
	return "", false
}

// Certificate is what `cloudflared tunnel login` leaves.
func (p Places) Certificate() (path string, found bool) { return p.find("cert.pem") }

// Credentials is the file with which a tunnel of an id can be run.
func (p Places) Credentials(id string) (path string, found bool) {
	if id == "" || strings.ContainsAny(id, `/\`) {
		return "", false
	}
	return p.find(id + ".json")
}

// Files are the configuration files that are there, in the order in which
// cloudflared looks for them.
func (p Places) Files() []File {
	var files []File
	for _, dir := range p.Dirs {
		for _, name := range []string{"config.yml", "config.yaml"} {
			if path := filepath.Join(dir, name); exists(path) {
				files = append(files, ReadFile(path))
			}
		}
	}
	return files
}

// A File is a configuration file of cloudflared, as far as it matters here.
type File struct {
	Path        string `yaml:"-"`
	Err         error  `yaml:"-"` // why it could not be read
	Tunnel      string `yaml:"tunnel"`
	Credentials string `yaml:"credentials-file"`
	URL         string `yaml:"url"`
	Ingress     []Rule `yaml:"ingress"`
}

// A Rule leads a public name to a service.
type Rule struct {
	Hostname string `yaml:"hostname" json:"hostname,omitempty"`
	Path     string `yaml:"path" json:"path,omitempty"`
	Service  string `yaml:"service" json:"service"`
}

const maxFile = 256 << 10

// ReadFile reads a configuration file.
func ReadFile(path string) File {
	file, err := os.Open(path)
	if err != nil {
		return File{Path: path, Err: fmt.Errorf("read cloudflared's configuration: %w", err)}
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fettle.Errorf(fettle.Invalid, "it is larger than %d bytes", maxFile)
	}
	var f File
	if err == nil {
		f, err = parseFile(text)
	}
	if err != nil {
		f.Err = fmt.Errorf("read cloudflared's configuration %s: %w", path, err)
	}
	f.Path = path
	return f
}

// parseFile reads YAML. A panic of the library is its way of not understanding.
func parseFile(text []byte) (f File, err error) {
	defer func() {
		if p := recover(); p != nil {
			f, err = File{}, fettle.Errorf(fettle.Invalid, "cannot be read as YAML (%v)", p)
		}
	}()
	if err := yaml.Unmarshal(text, &f); err != nil {
		return File{}, fettle.Errorf(fettle.Invalid, "%s", yaml.FormatError(err, false, false))
	}
	return f, nil
}

// names tells whether a file is of a tunnel, which may be called by its name or
// its id. A file of an id has its name nowhere, so with credentials at hand it
// is taken for the one that is meant.
func (f File) names(name string, p Places) bool {
	if name == "" || f.Tunnel == "" || f.Tunnel == name {
		return true
	}
	_, ofID := p.Credentials(f.Tunnel)
	return ofID || f.Credentials != "" && exists(f.Credentials)
}

// Listeners are fettle's own two addresses, host:port each; empty: off.
type Listeners struct{ Keyed, Open string }

// leadsTo tells whether a service of a rule is a listener of this computer.
func leadsTo(service, listener string) bool {
	u, err := url.Parse(service)
	if err != nil || listener == "" {
		return false
	}
	_, port, err := net.SplitHostPort(listener)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
	return local && u.Port() == port
}

// Hostname is the public name that a file leads to the keyed listener; empty if
// there is none.
func (l Listeners) Hostname(f File) string {
	for _, wanted := range []string{l.Keyed, l.Open} {
		for _, rule := range f.Ingress {
			if leadsTo(rule.Service, wanted) && isHostname(rule.Hostname) {
				return strings.ToLower(rule.Hostname)
			}
		}
	}
	return ""
}

// Exposed tells whether a file leads to the listener that knows the local user.
func (l Listeners) Exposed(f File) bool {
	return slices.ContainsFunc(f.services(), func(s string) bool { return leadsTo(s, l.Open) })
}

// services are where a file leads.
func (f File) services() []string {
	services := []string{f.URL}
	for _, rule := range f.Ingress {
		services = append(services, rule.Service)
	}
	return services
}

// Warning says what is wrong with where a file leads; empty: nothing.
func (l Listeners) Warning(f File) string {
	fix := fmt.Sprintf("change it to http://%s, the listener that asks everybody for a key", l.Keyed)
	switch {
	case f.Err != nil:
		return f.Err.Error()
	case l.Exposed(f):
		return fmt.Sprintf("%s leads to http://%s, the listener that knows the local user; %s", f.Path, l.Open, fix)
	case !slices.ContainsFunc(f.services(), func(s string) bool { return leadsTo(s, l.Keyed) }):
		return fmt.Sprintf("%s leads nowhere to fettle; add a rule with the service http://%s before the last one", f.Path, l.Keyed)
	default:
		return ""
	}
}
