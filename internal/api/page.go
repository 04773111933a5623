package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

// The few pages that the API draws itself. Each is one answer that needs no
// other file, because the key form must not open any path to strangers. Their
// style stands inside them, and the policy names its hash, so that no other
// style and no script at all can run there.
//
//go:embed pages
var pageFiles embed.FS

var pageTemplates = template.Must(template.New("").
	Funcs(template.FuncMap{"style": func() template.CSS { return template.CSS(pageStyle) }}).
	ParseFS(pageFiles, "pages/*.html"))

// Names of the pages.
const (
	keyForm        = "key.html"
	validationPage = "validation.html"
	docsPage       = "docs.html"
)

var pageStyle = func() string {
	text, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(text)
}()

var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	hash := base64.StdEncoding.EncodeToString(sum[:])
	return strings.Replace(defaultPolicy, "style-src 'self'", "style-src 'self' 'sha256-"+hash+"'", 1)
}()

// keyFormData fills the key form.
type keyFormData struct {
	Next    string // where to go afterwards
	Why     string
	Missing bool // no key was sent yet: nothing is wrong
}

// writePage answers with one of the pages.
func writePage(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&page, name, data); err != nil {
		panic("BUG: page " + name + ": " + err.Error())
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}
