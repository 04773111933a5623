package doctor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ports says of each configured listener whether fettle holds it, and if not,
// who does.
func ports(ctx context.Context, f *facts) []Finding {
	c := f.Config
	var found []Finding
	for _, l := range []struct{ setting, address, has string }{
		{"http.listen", c.HTTP.Listen, f.address(func(s *facts) string { return s.status.Addresses.HTTP })},
		{"http.keyed_listen", c.HTTP.KeyedListen, f.address(func(s *facts) string { return s.status.Addresses.KeyedHTTP })},
		{"mqtt.listen", c.MQTT.Listen, f.address(func(s *facts) string { return s.status.Addresses.MQTT })},
		{"mqtt.websocket", c.MQTT.WebSocket, f.address(func(s *facts) string { return s.status.Addresses.WebSocket })},
		{"mqtt.tls_listen", c.MQTT.TLSListen, f.address(func(s *facts) string { return s.status.Addresses.MQTTS })},
		{"mqtt.tls_websocket", c.MQTT.TLSWebSocket, f.address(func(s *facts) string { return s.status.Addresses.WSS })},
	} {
		if finding, look := port(ctx, l.setting, l.address, l.has, f); look {
			found = append(found, finding)
		}
	}
	return found
}

func (f *facts) address(of func(*facts) string) string {
	if f.status == nil {
		return ""
	}
	return of(f)
}

// port looks at one listener: wanted is what is configured, has what the
// running server got.
func port(ctx context.Context, setting, wanted, has string, f *facts) (finding Finding, look bool) {
	check := "port " + setting
	_, want, err := net.SplitHostPort(wanted)
	if err != nil {
		return Finding{}, false // off
	}
	if _, got, err := net.SplitHostPort(has); err == nil && (want == "0" || got == want) {
		return Finding{check, OK, has + " is fettle's", ""}, true
	}
	if want == "0" {
		return Finding{check, OK, "any free one", ""}, true
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", wanted)
	switch {
	case err != nil && f.silent != nil && holder(want).pid == f.PID:
		return Finding{check, Warning, fmt.Sprintf("%s is held by the server that does not answer (pid %d)", wanted, f.PID), "see the line server"}, true
	case errors.Is(err, fs.ErrPermission):
		return Finding{check, Error, wanted + " may not be taken by this user", "ports below 1024 are the system's: choose another in " + setting + ", and let a proxy or a tunnel lead there"}, true
	case err != nil:
		return Finding{check, Error, fmt.Sprintf("%s is taken: %s", wanted, holder(want)),
			"stop what holds it, or choose another in " + setting + " (FETTLE_" + strings.ToUpper(strings.ReplaceAll(setting, ".", "_")) + ")"}, true
	}
	_ = listener.Close() // nobody has called it
	if f.status != nil {
		return Finding{check, Warning, fmt.Sprintf("%s is free, though the settings name it: the running server was started with others", wanted), "stop and start `fettle serve`, or give the doctor the server's -c and variables"}, true
	}
	return Finding{check, OK, wanted + " is free", ""}, true
}

// A process holds a port; pid 0: the system does not tell us who.
type process struct {
	pid  int
	name string
}

func (p process) String() string {
	if p.pid == 0 {
		return "the system does not tell us by whom"
	}
	return fmt.Sprintf("%s (pid %d) holds it", p.name, p.pid)
}

// holder finds the process that listens on a port of this computer, as far as
// Linux tells: /proc/net has the sockets with their inodes, and each process's
// fd folder the inodes that it has open, for its own user and root to see.
func holder(port string) process {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // another system
		}
		for inode := range listening(string(text), port) {
			inodes[inode] = true
		}
	}
	if len(inodes) == 0 {
		return process{}
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is good
	for _, link := range links {
		target, err := os.Readlink(link)
		inode := strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")
		if err != nil || !inodes[inode] {
			continue
		}
		folder := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(folder))
		name, _ := os.ReadFile(filepath.Join(folder, "comm")) // gone with its process
		if err == nil {
			return process{pid, strings.TrimSpace(string(name))}
		}
	}
	return process{}
}

// listening reads the inodes of the sockets that listen on a port in a table
// such as /proc/net/tcp: "sl local_address rem_address st tx:rx tr:when
// retrnsmt uid timeout inode", with address:port in hexadecimal and 0A for
// listening (proc_pid_net(5)).
func listening(table, port string) map[string]bool {
	inodes := map[string]bool{}
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != "0A" {
			continue
		}
		_, number, _ := strings.Cut(fields[1], ":")
		bytes, err := hex.DecodeString(number)
		if err == nil && len(bytes) == 2 && strconv.Itoa(int(bytes[0])<<8|int(bytes[1])) == port {
			inodes[fields[9]] = true
		}
	}
	return inodes
}
