// Command dist builds what is released: for each target one archive with the
// static program, its documents and the licences of what is inside, and
// SHA256SUMS over them all. The bytes depend on the sources, the version and
// the Go release alone: not on the folder, the clock, the user or the machine.
// With -check it builds everything a second time, from a copy of the sources
// elsewhere and without a cache, and compares.
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// A target is a system that is released for.
type target struct{ system, arch string }

var targets = []target{{"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"}, {"darwin", "arm64"}}

func (t target) String() string { return t.system + "/" + t.arch }

// A release is what is built, from what, and where to.
type release struct {
	version string
	date    time.Time // of everything inside
	source  string    // root of the sources
	out     string    // folder of the archives
	env     []string  // beside this program's own
}

// sumsFile holds the checksums, as sha256sum writes and checks them.
const sumsFile = "SHA256SUMS"

// mostBytes is what the program for Linux, stripped, may take.
const mostBytes = 40_000_000

func main() {
	version := flag.String("version", "dev", "what the program calls itself")
	out := flag.String("out", "dist", "folder of the archives; what is in it is replaced")
	check := flag.Bool("check", false, "build twice and compare")
	flag.Parse()
	if err := run(*version, *out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(version, out string, check bool) error {
	date, err := dateOf(".")
	if err != nil {
		return err
	}
	r := release{version: version, date: date, source: ".", out: out}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	first, err := r.build(targets, os.Stdout)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d archives and %s, with %s; sources of %s\n", out, len(targets), sumsFile, runtime.Version(), date.Format(time.DateTime+" UTC"))
	if !check {
		return nil
	}
	elsewhere, err := os.MkdirTemp("", "fettle-dist-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(elsewhere)
	again, err := r.again(elsewhere, targets, filepath.Join(elsewhere, "cache"))
	if err != nil {
		return err
	}
	if again != first {
		return fmt.Errorf("two builds of the same sources differ:\n%s\n%s", first, again)
	}
	fmt.Println("Built a second time, in another folder and without a cache: the same bytes.")
	return nil
}

// dateOf is the date of everything in a release: SOURCE_DATE_EPOCH if it is set,
// as reproducible builds have it, else that of the commit.
func dateOf(source string) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		said, err := exec.Command("git", "-C", source, "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("ask git for the date of the commit: %w; without git, SOURCE_DATE_EPOCH (Unix seconds) says it", err)
		}
		text = strings.TrimSpace(string(said))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q; expected Unix seconds such as 1772434800", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// build makes the archives, tells their sizes, and returns their checksums.
func (r release) build(list []target, tell io.Writer) (sums string, err error) {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return "", err
	}
	table := tabwriter.NewWriter(tell, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "program\tarchive\t")
	for _, t := range list {
		name, size, err := r.buildOne(t)
		if err != nil {
			return "", fmt.Errorf("%s: %w", t, err)
		}
		packed, err := os.ReadFile(filepath.Join(r.out, name))
		if err != nil {
			return "", err
		}
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(packed), name)
		fmt.Fprintf(table, "%.1f MB\t%.1f MB\t  %s\n", float64(size)/1e6, float64(len(packed))/1e6, name)
	}
	if err := os.WriteFile(filepath.Join(r.out, sumsFile), []byte(sums), 0o644); err != nil {
		return "", err
	}
	return sums, table.Flush()
}

// buildOne makes the archive of one target; size is that of the program in it.
func (r release) buildOne(t target) (name string, size int64, err error) {
	scratch, err := os.MkdirTemp("", "fettle-dist-")
	if err != nil {
		return "", 0, err
	}
	defer os.RemoveAll(scratch)
	program := filepath.Join(scratch, "fettle")
	if t.system == "windows" {
		program += ".exe"
	}
	env := append([]string{"CGO_ENABLED=0", "GOFLAGS=", "GOOS=" + t.system, "GOARCH=" + t.arch, "GOAMD64=v1", "GOARM64=v8.0"}, r.env...)
	_, err = r.goTool(env, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+r.version, "-o", program, "./cmd/fettle")
	if err != nil {
		return "", 0, err
	}
	info, err := os.Stat(program)
	if err != nil {
		return "", 0, err
	}
	if t.system == "linux" && info.Size() > mostBytes {
		return "", 0, fmt.Errorf("the program has %d bytes, and may have %d", info.Size(), mostBytes)
	}
	content, err := r.content(program, env)
	if err != nil {
		return "", 0, err
	}
	top := strings.Join([]string{"fettle", r.version, t.system, t.arch}, "-")
	if t.system == "windows" {
		name = top + ".zip"
		return name, info.Size(), r.pack(name, top, content, writeZip)
	}
	name = top + ".tar.gz"
	return name, info.Size(), r.pack(name, top, content, writeTar)
}

// content lists what is in an archive: the program, what to read, and licences.
func (r release) content(program string, env []string) ([]entry, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	content := []entry{{name: filepath.Base(program), text: text, runs: true}}
	documents, err := filepath.Glob(filepath.Join(r.source, "docs", "*"))
	if err != nil {
		return nil, err
	}
	for _, path := range append(documents, filepath.Join(r.source, "LICENSE"), filepath.Join(r.source, "README.md"), filepath.Join(r.source, "FORMAT.md")) {
		name, err := filepath.Rel(r.source, path)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		content = append(content, entry{name: filepath.ToSlash(name), text: text})
	}
	licences, err := r.licences(env)
	return append(content, entry{name: "LICENSES-OF-LIBRARIES.txt", text: licences}), err
}

// pack writes an archive below a top folder.
func (r release) pack(name, top string, content []entry, write func(io.Writer, string, []entry, time.Time) error) error {
	file, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return err
	}
	return errors.Join(write(file, top, content, r.date), file.Close())
}

// again builds from a copy of the sources below a folder, and returns the
// checksums. cache is Go's; empty: the user's.
func (r release) again(below string, list []target, cache string) (sums string, err error) {
	copied := filepath.Join(below, "sources")
	names, err := exec.Command("git", "-C", r.source, "ls-files", "-z", "-co", "--exclude-standard").Output()
	if err != nil {
		return "", fmt.Errorf("ask git for the sources: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(r.source, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not committed
		}
		to := filepath.Join(copied, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, text, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	r.source, r.out = copied, filepath.Join(below, "out")
	if cache != "" {
		r.env = append(r.env, "GOCACHE="+cache)
	}
	return r.build(list, io.Discard)
}

// goTool runs the go command in the sources and returns what it prints.
func (r release) goTool(env []string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = r.source, append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, said.String())
	}
	return out, nil
}
