package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is set by the linker in releases: -ldflags "-X main.version=v1.2.3".
var version string

type versionCmd struct {
	JSON bool `help:"Print JSON."`
}

func (versionCmd) Help() string {
	return examples("fettle version", "fettle version --json")
}

func (c *versionCmd) Run(out io.Writer) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(map[string]string{
			"version": versionText(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		})
	}
	_, err := fmt.Fprintf(out, "fettle %s (%s, %s/%s)\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionText is the release, or else the commit that the program was built
// from.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "development"
	}
	commit, changed := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				changed = "+changes"
			}
		}
	}
	if commit == "" {
		return "development"
	}
	return commit + changed
}
