//go:build peers

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// service has Wine's service manager keep the program. That Windows starts it
// again when it dies, and the rights of its account, Wine does not know.
func (w windows) service(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Fräs Werk")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	there := "Z:" + strings.ReplaceAll(dir, "/", `\`)
	settings, data := there+`\fettle.yaml`, there+`\data`
	if err := os.WriteFile(filepath.Join(dir, "fettle.yaml"), []byte("http: {listen: '127.0.0.1:0', keyed_listen: ''}\nmqtt: {listen: '127.0.0.1:0', websocket: ''}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command(w.fettle, "service", "uninstall").Run() }) // it is gone, if all went well
	for _, step := range []struct {
		command []string
		well    bool
		says    string
	}{
		{[]string{"service", "status"}, false, "not installed as a service"},
		{[]string{"service", "install", "-c", settings, "--data", data}, true, "started the service; it was ready after"},
		{[]string{"service", "status"}, true, "running, starts with the computer"},
		{[]string{"status", "--data", data}, true, "page and API"},
		{[]string{"service", "restart"}, true, "restarted the service"},
		{[]string{"service", "install"}, true, "started the service; it was ready after"}, // an update, with the same settings and data
		{[]string{"service", "logs"}, true, "msg=ready"},
		{[]string{"stop", "--data", data}, true, "has stopped"},
		{[]string{"service", "status"}, false, "stopped, starts with the computer"},
		{[]string{"service", "start"}, true, "started the service"},
		{[]string{"service", "stop"}, true, "stopped the service"},
		{[]string{"service", "uninstall"}, true, "left the data in"},
		{[]string{"query", "--count", "--data", data}, true, ""},
	} {
		out, err := exec.CommandContext(t.Context(), w.fettle, step.command...).CombinedOutput()
		if (err == nil) != step.well || !strings.Contains(string(out), step.says) {
			t.Errorf("fettle %s: %v, says %s; want %q in it", strings.Join(step.command, " "), err, out, step.says)
		}
	}
}
