//go:build unix

package tunnel

import "os"

func systemDirs() []string { return []string{"/usr/local/etc/cloudflared", "/etc/cloudflared"} }

// systemUnits are where `cloudflared service install` writes, by systemd, by
// init, by a package, and by launchd.
func systemUnits() []string {
	return []string{
		"/etc/systemd/system/cloudflared.service", "/etc/init.d/cloudflared",
		"/lib/systemd/system/cloudflared.service", "/Library/LaunchDaemons/com.cloudflare.cloudflared.plist",
	}
}

// serviceText is what stands in a unit.
func serviceText(unit string) (string, bool) {
	text, err := os.ReadFile(unit)
	return string(text), err == nil
}
