package fettle_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floors lists every package, lowest floor first. A package imports only from
// floors below its own: packages on one floor do not know each other.
var floors = [][]string{
	{"fettle", "fettle/internal/rename", "fettle/patchtst/safetensors", "fettle/patchtst/internal/kernel"},
	{"fettle/patchtst", "fettle/internal/child", "fettle/internal/codec", "fettle/internal/config", "fettle/internal/days", "fettle/internal/db", "fettle/internal/hush", "fettle/internal/logfile", "fettle/internal/plant", "fettle/internal/spark"},
	{"fettle/internal/readings", "fettle/internal/model", "fettle/internal/events", "fettle/internal/broker", "fettle/internal/bridge", "fettle/internal/tunnel", "fettle/internal/tunnel/fake", "fettle/internal/service", "fettle/internal/process", "fettle/internal/chromium"},
	{"fettle/internal/backup", "fettle/internal/tunnel/fake/cloudflared", "fettle/internal/export", "fettle/internal/ingest", "fettle/internal/forecast", "fettle/internal/verdict", "fettle/internal/alarm", "fettle/internal/influx", "fettle/internal/notify"},
	{"fettle/internal/train"},
	{"fettle/internal/api", "fettle/internal/web"},
	{"fettle/internal/app", "fettle/internal/doctor"},
	{"fettle/cmd/fettle"},
	{"fettle/bench", "fettle/bench/bands", "fettle/bench/engine", "fettle/bench/ett", "fettle/bench/neighbours", "fettle/bench/readings", "fettle/bench/spark", "fettle/story"},
}

// doors names the packages that may import each third-party module.
var doors = map[string][]string{
	"github.com/cockroachdb/pebble/v2":   {"fettle/internal/db"},
	"github.com/parquet-go/parquet-go":   {"fettle/internal/days"},
	"github.com/mochi-mqtt/server/v2":    {"fettle/internal/broker"},
	"github.com/eclipse/paho.golang":     {"fettle/internal/bridge"},
	"github.com/gorilla/websocket":       {"fettle/internal/bridge", "fettle/internal/broker"},
	"github.com/danielgtaylor/huma/v2":   {"fettle/internal/api"},
	"github.com/VictoriaMetrics/metrics": {"fettle/internal/api"},
	"github.com/nlpodyssey/gopickle":     {"fettle/internal/model"},
	"github.com/fsnotify/fsnotify":       {"fettle/internal/model"},
	"github.com/goccy/go-yaml":           {"fettle/internal/config", "fettle/internal/tunnel"},
	"github.com/alecthomas/kong":         {"fettle/cmd/fettle"},
	"github.com/lmittmann/tint":          {"fettle/cmd/fettle"},
	"github.com/schollz/progressbar/v3":  {"fettle/cmd/fettle"},
	"github.com/adhocore/gronx":          {"fettle/internal/train"},
	"golang.org/x/term":                  {"fettle/cmd/fettle"},
	"github.com/wneessen/go-mail":        {"fettle/internal/notify"},
	"github.com/chromedp/chromedp":       {"fettle/internal/chromium"},
}

// anyRoom may be imported everywhere: extensions of the standard library.
var anyRoom = []string{"golang.org/x/sync", "golang.org/x/sys"}

type file struct {
	path, pkg string
	syntax    *ast.File
}

// TestFloors holds the floor plan: imports go down.
func TestFloors(t *testing.T) {
	level := map[string]int{}
	for i, floor := range floors {
		for _, pkg := range floor {
			level[pkg] = i
		}
	}
	for _, f := range sources(t) {
		own, known := level[f.pkg]
		if !known {
			t.Errorf("%s: package %s has no floor; give it one here and in ARCHITECTURE.md", f.path, f.pkg)
			continue
		}
		for _, imported := range imports(f) {
			if !ours(imported) {
				continue
			}
			if below, ok := level[imported]; !ok || below >= own {
				t.Errorf("%s: %s may not import %s: it is not on a lower floor", f.path, f.pkg, imported)
			}
		}
		if f.pkg == "fettle/patchtst" {
			for _, imported := range imports(f) {
				if ours(imported) && !strings.HasPrefix(imported, "fettle/patchtst/") {
					t.Errorf("%s: patchtst is a library of its own and imports nothing of fettle, but %s", f.path, imported)
				}
			}
		}
	}
}

// TestDoors holds each third-party module behind one package.
func TestDoors(t *testing.T) {
	for _, f := range sources(t) {
		for _, imported := range imports(f) {
			first, _, _ := strings.Cut(imported, "/")
			if ours(imported) || !strings.Contains(first, ".") || under(imported, anyRoom...) {
				continue
			}
			var door []string
			for module, pkgs := range doors {
				if under(imported, module) {
					door = pkgs
				}
			}
			switch {
			case len(door) == 0:
				t.Errorf("%s imports %s, which has no door; name one here", f.path, imported)
			case !slices.Contains(door, f.pkg):
				t.Errorf("%s imports %s; only %s may", f.path, imported, door)
			}
		}
	}
}

// TestPackageDocs wants a sentence on top of every package.
func TestPackageDocs(t *testing.T) {
	docs := map[string]string{}
	for _, f := range sources(t) {
		if f.syntax.Doc != nil {
			docs[f.pkg] += f.syntax.Doc.Text()
		} else if _, seen := docs[f.pkg]; !seen {
			docs[f.pkg] = ""
		}
	}
	for pkg, doc := range docs {
		if len(doc) < 80 {
			t.Errorf("package %s does not open with a doc comment that tells what comes in and what goes out", pkg)
		}
	}
}

// TestNoHiddenState refuses init functions and unsafe outside the kernels.
func TestNoHiddenState(t *testing.T) {
	for _, f := range sources(t) {
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function; whoever needs the state makes it", f.path)
			}
		}
		if slices.Contains(imports(f), "unsafe") && f.pkg != "fettle/patchtst/internal/kernel" {
			t.Errorf("%s imports unsafe; only the kernels may", f.path)
		}
	}
}

// sources parses every Go file of the program; tests may do as they need, and so
// may modules of their own.
func sources(t *testing.T) []file {
	t.Helper()
	var files []file
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "tools" || name == "scripts" || name == "gen") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); path != "." && err == nil {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(fset, path, source, parser.ParseComments)
		if err != nil {
			return err
		}
		pkg := "fettle"
		if dir := filepath.ToSlash(filepath.Dir(path)); dir != "." {
			pkg += "/" + dir
		}
		files = append(files, file{path, pkg, syntax})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func imports(f file) []string {
	var paths []string
	for _, spec := range f.syntax.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

func ours(path string) bool { return under(path, "fettle") }

func under(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return path == root || strings.HasPrefix(path, root+"/") })
}
