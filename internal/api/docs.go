package api

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed swagger/init.js swagger/swagger-ui.css.gz swagger/swagger-ui-bundle.js.gz
var swagger embed.FS

// addDocs adds the description of the API and the page that draws it. It comes
// last: the description is written once, when all routes are in it.
func (a *API) addDocs() error {
	a.addPlain(Read, huma.Operation{
		Method: http.MethodGet, Path: "/docs", OperationID: "docs", Tags: []string{tagOld},
		Summary: "This description, drawn by Swagger UI", Responses: returns(html()),
	}, func(w http.ResponseWriter, r *http.Request) {
		writePage(w, http.StatusOK, docsPage, nil)
	})
	a.addPlain(Read, huma.Operation{
		Method: http.MethodGet, Path: "/docs/{file}", OperationID: "docs-file", Tags: []string{tagOld},
		Summary: "A file of the page /docs", Parameters: pathParam("file"), Responses: returns(nil),
	}, a.docsFile)
	a.addPlain(Read, huma.Operation{
		Method: http.MethodGet, Path: "/redoc", OperationID: "redoc", Tags: []string{tagOld},
		Summary:   "Leads to /docs",
		Responses: leads("/docs"),
	}, http.RedirectHandler("/docs", http.StatusTemporaryRedirect).ServeHTTP)

	var description []byte
	a.addPlain(Read, huma.Operation{
		Method: http.MethodGet, Path: "/openapi.json", OperationID: "openapi", Tags: []string{tagOld},
		Summary: "This description, OpenAPI 3.1", Responses: returns(a.json(map[string]any{})),
	}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(description)
	})
	a.leaveRoom()
	var err error
	description, err = marshal(a.described.OpenAPI())
	if err != nil {
		return fmt.Errorf("describe the api: %w", err)
	}
	return nil
}

// leaveRoom lets answers be described as what may grow, and takes out huma's own
// error, of which a Problem is the larger sister. What requests hold stays
// strict: a mistyped key in one must not be overlooked.
func (a *API) leaveRoom() {
	strict := map[string]bool{"Acknowledge": true, "KeyRequest": true, "TrainingRequest": true}
	schemas := a.described.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	for name, schema := range schemas {
		if !strict[name] && schema.AdditionalProperties == false {
			schema.AdditionalProperties = nil
		}
	}
}

// docsFile serves the files of Swagger UI, packed as they are kept.
func (a *API) docsFile(w http.ResponseWriter, r *http.Request) {
	kinds := map[string]string{
		"init.js":              "text/javascript; charset=utf-8",
		"swagger-ui-bundle.js": "text/javascript; charset=utf-8",
		"swagger-ui.css":       "text/css; charset=utf-8",
	}
	name := r.PathValue("file")
	kind, known := kinds[name]
	if !known {
		noRoute(w, r, http.StatusNotFound, "Not Found")
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "private, max-age=3600")
	text, err := swagger.ReadFile("swagger/" + name)
	if err != nil { // kept packed
		text, err = swagger.ReadFile("swagger/" + name + ".gz")
		if err != nil {
			panic("BUG: " + err.Error())
		}
		w.Header().Set("Vary", "Accept-Encoding")
		if !acceptsGzip(r) {
			unpack(w, text)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
	}
	_, _ = w.Write(text)
}

func unpack(w io.Writer, packed []byte) {
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	_, _ = io.Copy(w, plain)
}
