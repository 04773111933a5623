package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestStaticFiles(t *testing.T) {
	site := siteOf(t, nil)
	url, err := site.assets.url("page.css")
	if err != nil {
		t.Fatal(err)
	}
	r := get(t, site, url, "Accept-Encoding", "br, gzip;q=0.5")
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") || r.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%s answers %d %v", url, r.StatusCode, r.Header)
	}
	if r := get(t, site, url, "If-None-Match", r.Header.Get("ETag")); r.StatusCode != http.StatusNotModified {
		t.Errorf("the same file again answers %d", r.StatusCode)
	}
	for path, want := range map[string]int{
		"/static/page.css": 200, "/static/nothing.css": 404, "/static/": 404, "/static/vendor/uplot/README.md": 404, "/static/vendor/uplot/LICENSE": 200,
		"/static/dashboard.html": 307, "/static/../web.go": 307,
	} {
		if r := get(t, site, path, "Accept-Encoding", "gzip;q=0"); r.StatusCode != want || r.Header.Get("Content-Encoding") != "" || strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s answers %d %v, want %d", path, r.StatusCode, r.Header, want)
		}
	}
}

// The vendored library is what its README says, to the byte.
func TestVendoredFilesAreUnchanged(t *testing.T) {
	const dir = "static/vendor/uplot"
	readme, err := os.ReadFile(dir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	sums := regexp.MustCompile(`(?m)^([0-9a-f]{64})  (\S+)$`).FindAllStringSubmatch(string(readme), -1)
	for _, sum := range sums {
		content, err := os.ReadFile(dir + "/" + sum[2])
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(content); hex.EncodeToString(got[:]) != sum[1] {
			t.Errorf("%s has changed", sum[2])
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(sums)+1 {
		t.Errorf("%d files, of which the README sums up %d", len(entries), len(sums))
	}
}

// What a first visit costs, gzipped: the budget of a phone on a tunnel.
func TestPageIsLight(t *testing.T) {
	site := siteOf(t, nil)
	var scripts int
	for name, file := range site.assets.files {
		if strings.HasSuffix(name, ".js") {
			scripts += len(file.plain)
			if file.packed != nil {
				scripts += len(file.packed) - len(file.plain)
			}
		}
	}
	if scripts > 45_000 {
		t.Errorf("%d bytes of script", scripts)
	}
}

// Every text is readable on every background, and the dark set is the same
// whether the system or the person chose it.
func TestTokens(t *testing.T) {
	css, err := fs.ReadFile(files, "static/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s)color-scheme: (light|dark);(.*?)}`).FindAllStringSubmatch(string(css), -1)
	if len(blocks) != 3 {
		t.Fatalf("%d sets of colours, want light, dark and dark again", len(blocks))
	}
	sets := make([]map[string]string, 3)
	for i, block := range blocks {
		sets[i] = map[string]string{}
		for _, pair := range regexp.MustCompile(`--([a-z-]+): (#[0-9A-F]{6});`).FindAllStringSubmatch(block[2], -1) {
			sets[i][pair[1]] = pair[2]
		}
	}
	if fmt.Sprint(sets[1]) != fmt.Sprint(sets[2]) {
		t.Error("the two dark sets differ")
	}
	for i, set := range sets[:2] {
		for _, ink := range []string{"text", "muted", "faint", "link", "high", "medium-text", "low", "fault", "history", "forecast", "limit"} {
			for _, paper := range []string{"bg", "surface", "raised"} {
				if c := contrast(set[ink], set[paper]); c < 4.5 {
					t.Errorf("%s: %s on %s has a contrast of %.2f", blocks[i][1], ink, paper, c)
				}
			}
		}
		for _, label := range []string{"high", "medium", "low", "link"} {
			if c := contrast(set["on-"+label], set[label]); c < 4.5 {
				t.Errorf("%s: the label on %s has a contrast of %.2f", blocks[i][1], label, c)
			}
		}
		if c := contrast(set["control"], set["bg"]); c < 3 {
			t.Errorf("%s: control edges have a contrast of %.2f", blocks[i][1], c)
		}
	}
}

// contrast of two colours, WCAG 2.2.
func contrast(a, b string) float64 {
	light := func(hex string) float64 {
		n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
		if err != nil {
			panic(err)
		}
		linear := func(shift uint) float64 {
			c := float64(n>>shift&0xFF) / 255
			if c <= 0.04045 {
				return c / 12.92
			}
			return math.Pow((c+0.055)/1.055, 2.4)
		}
		return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
	}
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}
