//go:build unix && peers_light

package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Every command that docs/*.md shows in bash is run, page by page, in order, in
// an empty folder, as somebody would who follows the page. What is shown right
// behind a command is what it must print; … stands for anything, in a line of its
// own for any lines. A comment above a block says what is special about it:
//
//	<!-- test: background -->            runs until the page ends; its server is waited for
//	<!-- test: background, DIR -->       the same, its data folder is DIR
//	<!-- test: file NAME -->             is no command, but what a file holds
//	<!-- test: given N MACHINE -->       N readings of a machine are there first; no block follows
//	<!-- test: skip, WHY -->             cannot be run here
//
// A page that says 127.0.0.1:8000, :8001 or :1883 means the server of the page,
// which has free ports here.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := parsePage(string(text))
		if err != nil {
			t.Errorf("%s: %v", page, err)
			continue
		}
		if !slices.ContainsFunc(blocks, func(b docBlock) bool { return b.kind == "run" || b.kind == "background" }) {
			continue
		}
		t.Run(filepath.Base(page), func(t *testing.T) { runPage(t, page, blocks) })
	}
}

// A docBlock is something on a page that is done.
type docBlock struct {
	kind   string // run, background, file, given
	with   string // the data folder, the file's name, or what is given
	line   int
	text   string
	output string // what it must print; "": anything
}

var (
	fence  = regexp.MustCompile("^```([a-z]*)$")
	marker = regexp.MustCompile(`^<!-- test: (background|file|given|skip)(?:,? (.+))? -->$`)
)

func parsePage(text string) (blocks []docBlock, err error) {
	lines := strings.Split(text, "\n")
	special := docBlock{}
	shows := false // whether a plain block that comes now is what a command printed
	for i := 0; i < len(lines); i++ {
		if m := marker.FindStringSubmatch(lines[i]); m != nil {
			special = docBlock{kind: m[1], with: m[2]}
			if special.kind == "skip" && special.with == "" {
				return nil, fmt.Errorf("line %d: skipped without a reason", i+1)
			}
			if special.kind == "given" {
				special.line = i + 1
				blocks, special = append(blocks, special), docBlock{}
			}
			continue
		}
		m := fence.FindStringSubmatch(lines[i])
		if m == nil {
			if strings.TrimSpace(lines[i]) != "" {
				shows = false
			}
			continue
		}
		begin := i
		for i++; i < len(lines) && lines[i] != "```"; i++ {
		}
		b, isCommand := special, m[1] == "bash" || m[1] == "sh"
		special = docBlock{}
		b.line, b.text = begin+1, strings.Join(lines[begin+1:i], "\n")
		switch {
		case b.kind == "file", b.kind == "background" && isCommand:
			blocks = append(blocks, b)
		case b.kind == "skip":
		case isCommand:
			b.kind = "run"
			blocks = append(blocks, b)
		case m[1] == "" && shows:
			blocks[len(blocks)-1].output = b.text
		}
		shows = isCommand && b.kind == "run"
	}
	return blocks, nil
}

// script is one for bash that does what a page says, each block's output in a
// file of its own.
func script(blocks []docBlock) string {
	var s strings.Builder
	s.WriteString(`set -eu
dirs=()
ready() {
	dirs+=("$1")
	for i in {1..3000}; do
		if fettle status --data "$1" >/dev/null 2>&1; then
			export PAGE_HTTP=$(sed -n 's/.*"http": "\(.*\)".*/\1/p' "$1/server.json")
			export PAGE_KEYED=$(sed -n 's/.*"keyed_http": "\(.*\)".*/\1/p' "$1/server.json")
			export PAGE_MQTT=$(sed -n 's/.*"mqtt": "\(.*\)".*/\1/p' "$1/server.json")
			export FETTLE_BROKER=mqtt://$PAGE_MQTT
			return
		fi
		sleep 0.1
	done
	echo "no server on $1" >&2
	exit 1
}
finish() {
	for dir in "${dirs[@]}"; do fettle stop --data "$dir" >/dev/null 2>&1 || true; done
	kill $(jobs -p) 2>/dev/null || true
	wait
}
trap finish EXIT
`)
	for i, b := range blocks {
		fmt.Fprintf(&s, "echo %d > .at\n", i)
		commands := strings.NewReplacer("127.0.0.1:8000", "$PAGE_HTTP", "127.0.0.1:8001", "$PAGE_KEYED", "127.0.0.1:1883", "$PAGE_MQTT").Replace(b.text)
		switch b.kind {
		case "file":
			fmt.Fprintf(&s, "cat > '%s' <<'END OF FILE'\n%s\nEND OF FILE\n", b.with, b.text)
		case "given":
			fmt.Fprintf(&s, "fettle replay .given-%d.csv --machine %s --times shifted --speed max > .out-%d 2>&1\n", i, strings.Fields(b.with)[1], i)
		case "background":
			dir := b.with
			if dir == "" {
				dir = "./fettle-data"
			}
			fmt.Fprintf(&s, "{\n%s\n} > .out-%d 2>&1 &\nready '%s'\n", commands, i, dir)
		default:
			fmt.Fprintf(&s, "{\n%s\n} > .out-%d 2>&1\n", commands, i)
		}
	}
	s.WriteString("echo done > .at\n")
	return s.String()
}

func runPage(t *testing.T, page string, blocks []docBlock) {
	dir := t.TempDir()
	for i, b := range blocks {
		if b.kind == "given" {
			if err := writeGiven(filepath.Join(dir, fmt.Sprintf(".given-%d.csv", i)), b.with); err != nil {
				t.Fatalf("%s:%d: %v", page, b.line, err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".page.sh"), []byte(script(blocks)), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "bash", ".page.sh")
	command.Dir = dir
	command.Env = append(os.Environ(), "HOME="+dir, "FETTLE_HTTP_LISTEN=127.0.0.1:0", "FETTLE_HTTP_KEYED_LISTEN=127.0.0.1:0", "FETTLE_MQTT_LISTEN=127.0.0.1:0", "FETTLE_MQTT_WEBSOCKET=")
	command.WaitDelay = time.Minute
	said, err := command.CombinedOutput()
	at, _ := os.ReadFile(filepath.Join(dir, ".at"))
	outputOf := func(i int) string {
		output, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf(".out-%d", i)))
		return string(output)
	}
	if err != nil || string(at) != "done\n" {
		i, _ := strconv.Atoi(strings.TrimSpace(string(at)))
		t.Fatalf("%s:%d: does not work as the page says: %v\n%s\nprints\n%s%s", page, blocks[i].line, err, blocks[i].text, outputOf(i), said)
	}
	for i, b := range blocks {
		if b.output != "" && !shownAs(b.output).MatchString(outputOf(i)) {
			t.Errorf("%s:%d: %s\nprints\n%s\nthe page shows\n%s", page, b.line, b.text, outputOf(i), b.output)
		}
	}
}

// shownAs is a pattern of what a page shows. How wide columns are does not count.
func shownAs(output string) *regexp.Regexp {
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	for line := range strings.SplitSeq(output, "\n") {
		if strings.TrimSpace(line) == "…" {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		words := strings.Fields(line)
		for i, word := range words {
			words[i] = strings.ReplaceAll(regexp.QuoteMeta(word), "…", ".*?")
		}
		pattern.WriteString(strings.Join(words, `\s+`) + `\s*?\n`)
	}
	return regexp.MustCompile(pattern.String() + `\z`)
}

// writeGiven writes a table of readings of two sensors that swing, 2 s apart.
func writeGiven(path, what string) error {
	number, machine, found := strings.Cut(what, " ")
	rows, err := strconv.Atoi(number)
	if !found || err != nil || machine == "" {
		return fmt.Errorf("given %q; expected a number of readings and a machine", what)
	}
	var table bytes.Buffer
	table.WriteString("time,current,temp\n")
	for i := range rows {
		at := time.Date(2026, 3, 2, 7, 0, 2*i, 0, time.UTC)
		x := float64(i)
		fmt.Fprintf(&table, "%s,%.3f,%.3f\n", at.Format(time.DateTime), 12+3*math.Sin(x/5)+0.2*math.Sin(x), 61+5*math.Sin(x/9)+0.3*math.Cos(2*x))
	}
	return os.WriteFile(path, table.Bytes(), 0o600)
}
