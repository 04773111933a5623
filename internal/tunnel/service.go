package tunnel

import (
	"os"
	"regexp"
	"strings"
)

// A Service is a cloudflared that the operating system keeps, as `cloudflared
// service install` sets it up.
type Service struct {
	Name    string `json:"name"`
	Unit    string `json:"unit" doc:"Where it stands"`
	Config  string `json:"config,omitempty" doc:"Its configuration file, if it names one"`
	ByToken bool   `json:"by_token" doc:"Whether it runs with a token: then its rules stand at Cloudflare"`
}

// Service finds the installed service.
func (p Places) Service() (Service, bool) {
	for _, unit := range p.Units {
		if text, found := serviceText(unit); found {
			s := parseService(text)
			s.Unit = unit
			return s, true
		}
	}
	return Service{}, false
}

// parseService reads the command in a unit, a script, a property list or the
// registry. Of a token nothing is kept.
func parseService(text string) Service {
	option := regexp.MustCompile(`--config(?:\s+|=|</string>\s*<string>)(?:"([^"\r\n]+)"|([^\s"<]+))`)
	s := Service{Name: "cloudflared", ByToken: regexp.MustCompile(`--token(?:-file)?\b`).MatchString(text)}
	if found := option.FindStringSubmatch(text); found != nil {
		s.Config = found[1] + found[2]
	}
	return s
}

// File is the configuration that the service runs with; without a path if none
// is known.
func (s Service) File(p Places) File {
	if s.Config != "" {
		return ReadFile(s.Config)
	}
	// Without --config it takes the first one of the system's places.
	for _, f := range p.Files() {
		if home, err := os.UserHomeDir(); err != nil || !strings.HasPrefix(f.Path, home) {
			return f
		}
	}
	return File{}
}

// keeps tells whether the service keeps the tunnel of a file. One with a token
// does not say which it keeps.
func (s Service) keeps(f File, name string) bool {
	if s.ByToken {
		return false
	}
	if s.Config == f.Path {
		return true
	}
	own := ReadFile(s.Config)
	return own.Err == nil && own.Tunnel != "" && (own.Tunnel == f.Tunnel || own.Tunnel == name)
}

// Warning says what is wrong with where the service leads; empty: nothing, or
// nobody here can know.
func (s Service) Warning(p Places, l Listeners) string {
	if s.ByToken {
		return ""
	}
	f := s.File(p)
	if f.Path == "" {
		return ""
	}
	return l.Warning(f)
}
