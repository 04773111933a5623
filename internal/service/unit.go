package service

import (
	"fmt"
	"strings"
)

// User is the user of the operating system that a service of systemd runs as. It
// is a lasting one, not one of DynamicUser=: what is in the data folder then
// belongs to somebody that people can name, be in a group with, become (sudo -u),
// and that administers the folder while no server runs.
const User = "fettle"

// unit is the service as systemd reads it (systemd.service(5), systemd.exec(5)).
// Every line that takes something away is one that a server of this kind does
// not need; what it must keep is said in the comments.
func unit(s Spec) string {
	var b strings.Builder
	fmt.Fprintf(&b, unitHead, displayName, quoteWords(append([]string{s.Program}, s.args()...)), User, escapePercent(s.Data))
	if folder, below := strings.CutPrefix(s.Data, "/var/lib/"); below && !strings.Contains(folder, "/") && quote(folder) == folder {
		fmt.Fprintf(&b, "StateDirectory=%s\nStateDirectoryMode=0700\n", folder)
	} else {
		fmt.Fprintf(&b, "ReadWritePaths=%s\n", quote(s.Data))
	}
	for _, dir := range s.Writes {
		fmt.Fprintf(&b, "ReadWritePaths=-%s\n", quote(dir))
	}
	b.WriteString(unitWalls)
	if s.Memory > 0 {
		fmt.Fprintf(&b, unitMemory, s.Memory>>20)
	}
	b.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

const unitHead = `# Made by fettle service install, which writes it anew. Changes of your own belong
# into a drop-in: systemctl edit fettle
[Unit]
Description=%s
Wants=network-online.target
After=network-online.target time-sync.target
# It is tried for as long as it takes: a port may become free, a disk may come.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=%s
Restart=on-failure
RestartSec=5
# It says every third of this that its listeners answer and its gate moves.
WatchdogSec=60
# A folder of an older version is taken over before it is ready.
TimeoutStartSec=15min
TimeoutStopSec=60
User=%[3]s
Group=%[3]s
UMask=0077
WorkingDirectory=%[4]s

# What it may write.
ProtectSystem=strict
`

const unitWalls = `
# What it may see.
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
DevicePolicy=closed
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes

# What it may do. @resources stays: it lowers the priority of its trainings.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateUsers=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
`

const unitMemory = `
# From limits.memory, training.memory and training.parallel when it was installed.
# A training that takes too much is ended alone, and tried again.
MemoryMax=%dM
OOMPolicy=continue
`

// escapePercent writes a path where systemd expands %x and reads nothing else.
func escapePercent(path string) string { return strings.ReplaceAll(path, "%", "%%") }

// quote writes a word of a list of words, such that systemd reads it back.
func quote(word string) string {
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(escapePercent(word))
	if escaped == word && word != "" && !strings.ContainsAny(word, " ';#") {
		return word
	}
	return `"` + escaped + `"`
}

// quoteWords writes a command, in which $x is expanded too.
func quoteWords(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = strings.ReplaceAll(quote(word), "$", "$$")
	}
	return strings.Join(quoted, " ")
}

// specOfUnit reads what a unit keeps.
func specOfUnit(text string) Spec {
	var s Spec
	var writes []string
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ExecStart":
			s = specOfArgs(unquoteWords(strings.ReplaceAll(value, "$$", "$")))
		case "ReadWritePaths":
			if dir, further := strings.CutPrefix(value, "-"); further {
				writes = append(writes, unquoteWords(dir)...)
			}
		}
	}
	s.Writes = writes
	return s
}

// unquoteWords reads what quote has written, of several words.
func unquoteWords(text string) []string {
	var words []string
	var word strings.Builder
	quoted, begun := false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted, begun = !quoted, true
		case c == ' ' && !quoted:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			if escaped := c == '\\' || c == '%'; escaped && i+1 < len(text) {
				i++
			}
			word.WriteByte(text[i])
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}
