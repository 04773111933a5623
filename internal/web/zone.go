package web

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serverZone is time.Local under its IANA name, which the browser needs to show
// the same times. Where the system does not tell the name it is time.Local
// itself, and the browser is told the offset instead.
func serverZone() *time.Location {
	name, set := os.LookupEnv("TZ")
	if !set {
		target, err := filepath.EvalSymlinks("/etc/localtime")
		if err != nil {
			return time.Local
		}
		if _, after, found := strings.Cut(filepath.ToSlash(target), "zoneinfo/"); found {
			name = after
		}
	}
	zone, err := time.LoadLocation(strings.TrimPrefix(name, ":"))
	if err != nil || name == "" {
		return time.Local
	}
	return zone
}
