package service

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fettle"
)

func TestStatusOfShow(t *testing.T) {
	since := time.Date(2026, 11, 24, 14, 20, 11, 0, time.UTC)
	for _, c := range []struct {
		says string
		want Status
	}{
		{
			"MainPID=4711\nNRestarts=2\nMemoryCurrent=104857600\nStatusText=page http://127.0.0.1:8000\nResult=success\nActiveState=active\nSubState=running\nUnitFileState=enabled\nActiveEnterTimestamp=Tue 2026-11-24 14:20:11 UTC\n",
			Status{State: "active (running)", Running: true, Enabled: true, PID: 4711, Since: since, Restarts: 2, Says: "page http://127.0.0.1:8000", Memory: 100 << 20},
		},
		{
			"MainPID=0\nStatusText=stopping\nResult=success\nActiveState=inactive\nSubState=dead\nUnitFileState=enabled\n",
			Status{State: "inactive (dead)", Enabled: true},
		},
		{
			"MainPID=0\nNRestarts=0\nMemoryCurrent=[not set]\nStatusText=\nResult=watchdog\nActiveState=activating\nSubState=auto-restart\nUnitFileState=disabled\nActiveEnterTimestamp=\n",
			Status{State: "activating (auto-restart), its last end: watchdog"},
		},
	} {
		if diff := cmp.Diff(c.want, statusOfShow(c.says)); diff != "" {
			t.Error(diff)
		}
	}
}

// Paths that the service could not see are refused before anything is done.
func TestMayInstall(t *testing.T) {
	if os.Geteuid() != 0 || !exists("/run/systemd/system") {
		err := systemd{}.mayInstall(Spec{})
		if kind := fettle.KindOf(err); kind != fettle.Forbidden && kind != fettle.Unavailable || !strings.Contains(err.Error(), "sudo") && !strings.Contains(err.Error(), "systemd") {
			t.Errorf("%v", err)
		}
	}
}
