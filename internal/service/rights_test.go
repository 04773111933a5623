package service

import (
	"strings"
	"testing"
)

// As Windows has it for a service that every Windows has (sc showsid).
func TestServiceSID(t *testing.T) {
	if got := serviceSID("TrustedInstaller"); got != "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464" {
		t.Error(got)
	}
}

// Nobody else may look into the folder, and nothing is inherited from above.
func TestFolderRights(t *testing.T) {
	rights := folderRights("fettle")
	who, found := strings.CutPrefix(rights, "D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)")
	if !found || who != "(A;OICI;0x1301bf;;;"+serviceSID("fettle")+")" {
		t.Error(rights)
	}
}
