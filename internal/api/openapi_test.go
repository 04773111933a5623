package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOpenAPI(t *testing.T) {
	w := newRig(t).get("/openapi.json")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	goldenJSON(t, "openapi.golden.json", w.Body.Bytes())
}

// Every route is described, and everything described is a route.
func TestOpenAPIIsComplete(t *testing.T) {
	rig := newRig(t)
	var description struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Summary     string
			Tags        []string
			Responses   map[string]any
			Security    []map[string][]string
		}
	}
	if err := json.Unmarshal(rig.get("/openapi.json").Body.Bytes(), &description); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(description.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %s", description.OpenAPI)
	}
	var described []string
	for path, operations := range description.Paths {
		for method, op := range operations {
			pattern := strings.ToUpper(method) + " " + path
			described = append(described, pattern)
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || len(op.Responses) == 0 || len(op.Security) == 0 {
				t.Errorf("%s is poorly described: %+v", pattern, op)
			}
		}
	}
	registered := slices.Collect(maps.Keys(rig.scopes))
	for i, pattern := range registered {
		registered[i] = strings.TrimSuffix(pattern, "{$}")
	}
	slices.Sort(described)
	slices.Sort(registered)
	if diff := cmp.Diff(registered, described); diff != "" {
		t.Errorf("described is not what is registered (-registered +described):\n%s", diff)
	}
}

// Lists are lists, never null: clients must not have to ask.
func TestOpenAPIListsAreNeverNull(t *testing.T) {
	if text := newRig(t).get("/openapi.json").Body.String(); strings.Contains(text, `["array","null"]`) {
		t.Error("a list may be null")
	}
}

func TestDocsNeedNobody(t *testing.T) {
	rig := newRig(t)
	page := rig.get("/docs").Body.String()
	if strings.Contains(page, "://") || strings.Contains(page, "style=") || regexp.MustCompile(`<script>|<script [^s]`).MatchString(page) {
		t.Errorf("the page wants something from elsewhere, or holds a script or style: %s", page)
	}
	for file, kind := range map[string]string{
		"swagger-ui.css": "text/css; charset=utf-8", "swagger-ui-bundle.js": "text/javascript; charset=utf-8", "init.js": "text/javascript; charset=utf-8",
	} {
		if !strings.Contains(page, "/docs/"+file) {
			t.Errorf("the page does not load %s", file)
		}
		plain, packed := rig.get("/docs/"+file), rig.get("/docs/"+file, header("Accept-Encoding", "gzip, br"))
		if plain.Code != 200 || plain.Header().Get("Content-Type") != kind || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", file, plain.Code, plain.Header())
		}
		body := packed.Body.Bytes()
		if packed.Header().Get("Content-Encoding") == "gzip" {
			body = unzip(t, body)
		}
		if !bytes.Equal(body, plain.Body.Bytes()) {
			t.Errorf("%s is another one when packed", file)
		}
	}
	for _, path := range []string{"/docs/README.md", "/docs/swagger-ui.css.gz", "/docs/..%2Fapi.go"} {
		if w := rig.get(path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// Swagger UI is the one that its README names.
func TestSwaggerIsAsPublished(t *testing.T) {
	readme, err := os.ReadFile("swagger/README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^\| (\S+) \| ([0-9a-f]{64}) \|$`).FindAllStringSubmatch(string(readme), -1)
	if len(named) != 2 {
		t.Fatalf("README names %d files", len(named))
	}
	for _, n := range named {
		packed, err := os.ReadFile("swagger/" + n[1] + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(unzip(t, packed)); hex.EncodeToString(sum[:]) != n[2] {
			t.Errorf("%s has SHA-256 %x", n[1], sum)
		}
	}
	for _, file := range []string{"LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt"} {
		if _, err := os.Stat("swagger/" + file); err != nil {
			t.Error(err)
		}
	}
}

func unzip(t *testing.T, packed []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
