package tunnel

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows/registry"
)

// systemDirs is where a service that runs as the system looks.
func systemDirs() []string {
	root := os.Getenv("SystemRoot")
	if root == "" {
		return nil
	}
	return []string{filepath.Join(root, "System32", "config", "systemprofile", ".cloudflared")}
}

// systemUnits names the key under which Windows keeps the service.
func systemUnits() []string { return []string{`SYSTEM\CurrentControlSet\Services\Cloudflared`} }

// serviceText is the command line of a service.
func serviceText(unit string) (string, bool) {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, unit, registry.QUERY_VALUE)
	if err != nil {
		return "", false
	}
	defer key.Close()
	text, _, err := key.GetStringValue("ImagePath")
	return text, err == nil
}
