package service

import (
	"path/filepath"
	"strings"
	"unicode"

	"fettle"
	"fettle/internal/config"
)

// A Spec says what is to be kept.
type Spec struct {
	Program string   // path of the program
	Config  string   // path of its settings
	Data    string   // path of its data folder
	Writes  []string // further folders that it may write, for backups say
	Memory  int64    // bytes, for the server and all that it starts; 0: no bound
}

// args are what the program is started with.
func (s Spec) args() []string {
	return []string{"serve", "--config", s.Config, "--data", s.Data}
}

// specOfArgs reads what args has made, and takes what else it finds for
// somebody's own changes.
func specOfArgs(command []string) Spec {
	var s Spec
	if len(command) > 0 {
		s.Program = command[0]
	}
	for i := 1; i+1 < len(command); i++ {
		switch command[i] {
		case "--config", "-c":
			s.Config = command[i+1]
		case "--data":
			s.Data = command[i+1]
		}
	}
	return s
}

// A place is a path of a Spec, and what a person calls it.
type place struct{ field, path string }

func (s Spec) places() []place {
	places := []place{{"the program", s.Program}, {"--config", s.Config}, {"--data", s.Data}}
	for _, dir := range s.Writes {
		places = append(places, place{"--writes", dir})
	}
	return places
}

// check looks at the paths: a service has no working folder of its own to begin
// them at.
func (s Spec) check() error {
	for _, p := range s.places() {
		if strings.ContainsFunc(p.path, unicode.IsControl) {
			return fettle.BadField("wrong value", p.field, p.path, "a path without control characters")
		}
		if !filepath.IsAbs(p.path) {
			return fettle.BadField("wrong value", p.field, p.path, "an absolute path, for a service begins at no folder")
		}
	}
	return nil
}

// MemoryFor is what a service with these settings may take: twice what the
// server tries to stay within, all trainings that may run at once, and what
// beside that belongs to a tunnel. 0 if limits.memory is: no bound.
func MemoryFor(c config.Config) int64 {
	const tunnel = 256 << 20
	if c.Limits.Memory == 0 {
		return 0
	}
	most := 2*int64(c.Limits.Memory) + int64(c.Training.Parallel)*int64(c.Training.Memory)
	if c.Tunnel.Mode != "off" {
		most += tunnel
	}
	return most
}

// firstSettings is the file of settings of a service that had none.
const firstSettings = `# The settings of the fettle service. docs/config.md explains each; what does not
# stand here is as it is there. After a change: fettle service restart

# http:
#   listen: 127.0.0.1:8000    # the page and the API, for this computer

# mqtt:
#   listen: 0.0.0.0:1883      # for sensors elsewhere too; needs: fettle user add NAME
`
