package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// assets are the static files, held in memory, packed once at the start. Their
// address holds a hash over all of them, /static/<hash>/page.css, so that a
// browser may keep them for ever, and the scripts can import each other by
// plain relative names.
type assets struct {
	hash  string
	files map[string]asset
}

type asset struct {
	kind   string // content type
	etag   string
	plain  []byte
	packed []byte // gzip; nil if packing gains nothing
}

// kindOf tells what is served; any other file (a README) stays inside. The types
// are spelled out because the system's table differs from host to host.
func kindOf(name string) (kind string, served bool) {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8", true
	case ".js":
		return "text/javascript; charset=utf-8", true
	case ".svg":
		return "image/svg+xml", true
	}
	if path.Base(name) == "LICENSE" {
		return "text/plain; charset=utf-8", true
	}
	return "", false
}

func loadAssets(root fs.FS) (*assets, error) {
	a := &assets{files: map[string]asset{}}
	all := sha256.New()
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		kind, served := kindOf(name)
		if !served {
			return nil
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		fmt.Fprintf(all, "%s %x\n", name, sum)
		a.files[name] = asset{
			kind: kind, etag: `"` + hex.EncodeToString(sum[:8]) + `"`,
			plain: content, packed: pack(content, gzip.BestCompression),
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load static files: %w", err)
	}
	a.hash = hex.EncodeToString(all.Sum(nil)[:6])
	return a, nil
}

// url is the address of a static file for as long as no file changes.
func (a *assets) url(name string) (string, error) {
	if _, found := a.files[name]; !found {
		return "", fmt.Errorf("no static file %q", name)
	}
	return "/static/" + a.hash + "/" + name, nil
}

func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, hashed := strings.CutPrefix(strings.TrimPrefix(r.URL.Path, "/static/"), a.hash+"/")
	file, found := a.files[name]
	if !found {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`{"detail":"Not Found"}`)) // as any unknown path of the API
		return
	}
	header := w.Header()
	header.Set("Content-Type", file.kind)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("ETag", file.etag)
	header.Add("Vary", "Accept-Encoding")
	if hashed {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		header.Set("Cache-Control", "no-cache")
	}
	if strings.Contains(r.Header.Get("If-None-Match"), file.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	write(w, r, content{http.StatusOK, file.plain, file.packed})
}

// content is an answer's body, plain and packed (nil if there is no such).
type content struct {
	status        int
	plain, packed []byte
}

// write sends an answer, packed if the client reads that.
func write(w http.ResponseWriter, r *http.Request, c content) {
	body := c.plain
	if c.packed != nil && acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		body = c.packed
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(c.status)
	if r.Method != http.MethodHead {
		w.Write(body) // the only error is a client that left
	}
}

func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			return strings.Trim(strings.TrimPrefix(quality, "q="), "0.") != "" || quality == ""
		}
	}
	return false
}

// pack compresses; nil if that gains nothing worth a header.
func pack(content []byte, level int) []byte {
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, level)
	if err != nil {
		panic("BUG: gzip level: " + err.Error())
	}
	zip.Write(content) // a bytes.Buffer takes everything
	zip.Close()
	if packed.Len() > len(content)*9/10 {
		return nil
	}
	return packed.Bytes()
}
