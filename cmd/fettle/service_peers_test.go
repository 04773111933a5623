//go:build peers && linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"fettle/internal/child"
	"fettle/internal/service"
)

// A box is a small Debian that was booted by a systemd of its own. What is
// written in it is gone with it.
type box struct {
	t      *testing.T
	leader string // process id of its systemd
}

// bootBox boots a box in which ./fettle is the program, as somebody has just
// downloaded it.
func bootBox(t *testing.T, fettle string) *box {
	t.Helper()
	prepare := exec.Command("../../scripts/peers/systemd.sh")
	prepare.Stderr = t.Output()
	tree, err := prepare.Output()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	name := fmt.Sprintf("fettle-test-%d", os.Getpid())
	nspawn := exec.Command("systemd-nspawn", "--directory="+strings.TrimSpace(string(tree)), "--machine="+name,
		"--boot", "--volatile=overlay", "--private-network", "--register=no", "--keep-unit", "--console=pipe", "--bind-ro="+fettle+":/root/fettle")
	nspawn.Stdout, nspawn.Stderr = &said, &said
	ctx, halt := context.WithCancel(context.Background())
	pids, ended := make(chan int, 1), make(chan error, 1)
	go func() { ended <- child.Run(ctx, nspawn, time.Minute, func(pid int) { pids <- pid }) }()
	t.Cleanup(func() {
		halt()
		<-ended
		_ = os.Remove("/run/systemd/nspawn/propagate/" + name) // which systemd-nspawn leaves
		if t.Failed() {
			t.Logf("the box said:\n%s", said.String())
		}
	})
	b := &box{t: t}
	pid := <-pids
	b.until("a systemd in the box", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
		if fields := strings.Fields(string(children)); err == nil && len(fields) > 0 {
			b.leader = fields[0]
		}
		if b.leader == "" {
			return false
		}
		state, _ := b.try("systemctl", "is-system-running") // ends with 1 for what is no perfect health
		return state == "running" || state == "degraded"
	})
	return b
}

func (b *box) until(what string, holds func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Minute)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			b.t.Fatalf("waited in vain for %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// try runs a command in the box, as its root, and returns what it said.
func (b *box) try(command ...string) (string, error) {
	cmd := exec.CommandContext(b.t.Context(), "nsenter", append([]string{"--target", b.leader, "--all", "--wd=/", "env", "-i", "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin", "HOME=/root"}, command...)...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// run is try for what must go well.
func (b *box) run(command ...string) string {
	b.t.Helper()
	out, err := b.try(command...)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return out
}

// says runs a command that must say something and end well, or not.
func (b *box) says(want string, well bool, command ...string) {
	b.t.Helper()
	if out, err := b.try(command...); (err == nil) != well || !strings.Contains(out, want) {
		b.t.Errorf("%s: %v, says %q; want %q in it", strings.Join(command, " "), err, out, want)
	}
}

func (b *box) status() (s service.Status) {
	b.t.Helper()
	// It ends with 1 when it does not run. That nothing else is said matters here:
	// a library would tell of a kernel like this box's, which measures no pressure.
	out, _ := b.try("fettle", "service", "status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		b.t.Fatalf("%v in %s", err, out)
	}
	return s
}

// anew waits until the service runs with another process than before.
func (b *box) anew(before service.Status) (s service.Status) {
	b.t.Helper()
	b.until("another process than "+strconv.Itoa(before.PID), func() bool {
		s = b.status()
		return s.Running && s.PID != before.PID && s.PID != 0
	})
	return s
}

// rows is how many readings the data folder has.
func (b *box) rows() string {
	b.t.Helper()
	return b.run("fettle", "query", "--count", "--data", "/var/lib/fettle")
}

// follow runs what a page shows in shells, line by line, as root in the folder
// of the downloaded program.
func (b *box) follow(page string) {
	b.t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		b.t.Fatal(err)
	}
	shell, done := false, 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			shell = line == "```sh"
			continue
		}
		if !shell || strings.Contains(line, "tunnel setup") { // which asks a person to sign in at Cloudflare
			continue
		}
		command := strings.TrimPrefix(strings.TrimSuffix(line, " -f"), "sudo ") // followed, a log has no end
		out, err := b.try("sh", "-c", "cd /root && "+command)
		if err != nil && !strings.Contains(command, "doctor") { // which ends with 1 when it warns
			b.t.Errorf("%s shows %s: %v\n%s", page, line, err, out)
		}
		done++
	}
	if done < 10 {
		b.t.Errorf("only %d commands in %s", done, page)
	}
}

// A service from its installation to its end, under a real systemd: what is
// killed or hangs comes back, and what was acknowledged is there. First somebody
// follows the page about it word by word.
func TestService(t *testing.T) {
	b := bootBox(t, buildFettle(t))
	b.follow("../../docs/service.md")
	b.says("backup.json", true, "ls", "/mnt/backup/today")
	b.run("fettle", "user", "remove", "press-7", "--data", "/var/lib/fettle") // while there is one, nobody else connects
	b.says("not installed as a service", false, "/root/fettle", "service", "status")
	b.says("--data", false, "/root/fettle", "service", "install", "--data", "/home/me/data")
	b.says("ready after", true, "/root/fettle", "service", "install")
	b.says("needs root: sudo /usr/local/bin/fettle service stop", false, "setpriv", "--reuid=nobody", "--clear-groups", "fettle", "service", "stop")
	first := b.status()
	if !first.Running || !first.Enabled || first.Data != "/var/lib/fettle" || !strings.Contains(first.Says, "http://127.0.0.1:8000") {
		t.Errorf("%+v", first)
	}
	b.says("msg=ready", true, "fettle", "service", "logs")
	b.run("fettle", "simulate", "--for", "3s", "--interval", "100ms")
	rows := b.rows()

	// Killed.
	b.run("sh", "-c", fmt.Sprint("kill -KILL ", first.PID))
	second := b.anew(first)
	if second.Restarts == 0 {
		t.Errorf("%+v", second)
	}
	if got := b.rows(); got != rows {
		t.Errorf("%s readings after it was killed, %s before", got, rows)
	}

	// It hangs: all its threads are stopped.
	b.run("sh", "-c", "mkdir -p /etc/systemd/system/fettle.service.d && printf '[Service]\nWatchdogSec=15\n' >/etc/systemd/system/fettle.service.d/watchdog.conf && systemctl daemon-reload")
	b.says("restarted the service", true, "fettle", "service", "restart")
	third := b.status()
	b.run("sh", "-c", fmt.Sprint("kill -STOP ", third.PID))
	b.anew(third)
	b.says("Watchdog timeout", true, "journalctl", "--unit=fettle", "--no-pager")

	// Stopped it stays; a command of root leaves nothing that the service could not open.
	b.says("stopped the service", true, "fettle", "service", "stop")
	b.says("inactive (dead)", false, "fettle", "service", "status")
	b.says("fet_", true, "fettle", "key", "create", "watch", "--data", "/var/lib/fettle")
	b.says("(as fettle, to whom the data folder belongs)", false, "fettle", "backup", "/root/backup", "--data", "/var/lib/fettle")
	if others := b.run("find", "/var/lib/fettle", "!", "-user", "fettle"); others != "" {
		t.Errorf("not the service's own:\n%s", others)
	}
	b.says("ready after", true, "fettle", "service", "start")

	// Settings that are wrong are told of where they matter.
	b.run("sh", "-c", "echo 'forecast: {interval: soon}' >>/etc/fettle/fettle.yaml")
	b.says("The service was left as it is", false, "fettle", "service", "restart")
	b.says("forecast.interval", false, "/root/fettle", "service", "install")
	b.says("active (running)", true, "fettle", "service", "status")
	b.run("sed", "-i", "$ d", "/etc/fettle/fettle.yaml")
	b.run("sh", "-c", "echo 'http: {listen: 127.0.0.1:80}' >>/etc/fettle/fettle.yaml")
	b.says("listen on 127.0.0.1:80 (http.listen)", false, "fettle", "service", "restart")           // which takes more than it may do
	b.says("127.0.0.1:80 may not be taken", false, "fettle", "doctor", "--data", "/var/lib/fettle") // with the service's settings
	b.run("sed", "-i", "$ d", "/etc/fettle/fettle.yaml")
	b.says("ready after", true, "/root/fettle", "service", "install", "--writes", "/mnt")
	b.run("chown", "fettle", "/mnt")
	b.run("fettle", "backup", "/mnt/after", "--data", "/var/lib/fettle")

	// Gone, but for what belongs to the user; and back.
	b.says("left the data in /var/lib/fettle", true, "fettle", "service", "uninstall")
	b.says("not installed as a service", false, "fettle", "service", "status")
	b.says("ready after", true, "fettle", "service", "install")
	if got := b.rows(); got != rows {
		t.Errorf("%s readings after all, %s before", got, rows)
	}
}
