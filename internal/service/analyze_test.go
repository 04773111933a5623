//go:build linux && peers_light

package service

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// maxExposure is what systemd-analyze may say of the unit, in tenths of its scale
// from 0 (locked in) to 10 (open). What is left of it: the network, sockets of
// the system, priorities, and files that are there for everybody to read.
const maxExposure = "13"

// systemd itself finds nothing wrong with the unit, and little open in it.
func TestUnitBeforeSystemd(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	usual := Spec{Program: program, Config: "/etc/fettle/fettle.yaml", Data: "/var/lib/fettle", Memory: 1 << 30}
	odd := Spec{Program: program, Config: "/etc/50% $off.yaml", Data: "/mnt/my \"data\"", Writes: []string{"/mnt/back up"}}
	for _, s := range []Spec{usual, odd} {
		file := filepath.Join(t.TempDir(), "fettle.service")
		if err := os.WriteFile(file, []byte(unit(s)), 0o600); err != nil {
			t.Fatal(err)
		}
		// It ends with 0 for keys that it does not know, and says so.
		if said, err := exec.Command("systemd-analyze", "verify", file).CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("%v: %s in\n%s", err, said, unit(s))
		}
		if said, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold="+maxExposure, file).CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, said)
		}
	}
}
