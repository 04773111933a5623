package api

import (
	"context"
	"net/http"
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"fettle/internal/model"
)

// Groups of routes in the description.
const (
	tagMachines = "machines"
	tagAlarms   = "alarms"
	tagModels   = "models"
	tagTraining = "training"
	tagServer   = "server"
	tagInflux   = "InfluxDB"
	tagOld      = "old routes"
)

// huma can be told only once for the whole process that a list is never null.
var listsAreNeverNull = sync.OnceFunc(func() { huma.DefaultArrayNullable = false })

// describe begins the OpenAPI description.
func describe(version string) huma.Config {
	listsAreNeverNull()
	c := huma.DefaultConfig("fettle", version)
	c.Info.Description = "Predictive maintenance for machines: readings in, forecasts, verdicts and alarms out.\n\n" +
		"Times are UTC, RFC 3339. Values are in the unit in which the sensor sends them. " +
		"Errors of /api/v1 are application/problem+json.\n\n" +
		"A caller on the same computer needs no key but for administration; everybody else sends one in `X-API-Key` " +
		"or as `Authorization: Bearer`. `fettle key create` makes one."
	c.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	c.Tags = []*huma.Tag{
		{Name: tagMachines, Description: "Machines, their readings, forecasts and verdicts"},
		{Name: tagAlarms, Description: "Alarms and events"},
		{Name: tagModels, Description: "Versions of forecasting models, and which of them serve"},
		{Name: tagTraining, Description: "Training of models"},
		{Name: tagServer, Description: "The program itself"},
		{Name: tagInflux, Description: "Line protocol, from whatever writes to InfluxDB"},
		{Name: tagOld, Description: "The routes of the system that fettle replaces, answering as they did"},
	}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":    {Type: "apiKey", In: "header", Name: "X-API-Key"},
		"bearer": {Type: "http", Scheme: "bearer"},
	}
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	c.DocsPath, c.OpenAPIPath, c.SchemasPath = "", "", "" // docs.go serves them, under the guard and without a CDN
	c.CreateHooks = nil                                   // no $schema links in answers
	return c
}

// schemaName is what a type is called in the description: by its own name, but
// where a room has a word of its own for what another word means elsewhere.
func schemaName(t reflect.Type, hint string) string {
	if t == reflect.TypeFor[model.Training]() || t == reflect.TypeFor[*model.Training]() {
		return "ModelTraining"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// add registers a route that huma reads, checks and describes. What its handler
// returns as an error becomes a Problem.
func add[I, O any](a *API, need Scope, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	a.allow(need, &op)
	a.canFail(&op)
	huma.Register(a.described, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.problemOf(op.OperationID, err)
		}
		return out, nil
	})
}

// An answer is what huma takes for one that is only a body; also a request.
type answer[T any] struct{ Body T }

// addPlain registers a route that answers by itself, and describes it.
func (a *API) addPlain(need Scope, op huma.Operation, handle http.HandlerFunc) {
	a.allow(need, &op)
	a.described.OpenAPI().AddOperation(&op)
	a.mux.HandleFunc(patternOf(op), handle)
}

// patternOf is a route's pattern in the mux, where "/" alone would mean "all".
func patternOf(op huma.Operation) string {
	if op.Path == "/" {
		return op.Method + " /{$}"
	}
	return op.Method + " " + op.Path
}

// allow notes what a route asks for, for the guard and for readers.
func (a *API) allow(need Scope, op *huma.Operation) {
	a.scopes[patternOf(*op)] = need
	if need == open {
		op.Security = []map[string][]string{{}}
		return
	}
	op.Security = []map[string][]string{{"key": {}}, {"bearer": {}}}
	if need != Admin && need != workerKey {
		op.Security = append(op.Security, map[string][]string{}) // the local user needs none
	}
	op.Description += "\n\nScope: " + string(need) + "."
}

// open is the scope of the few routes that look at keys themselves or need none.
const open Scope = "open"

// workerKey is the scope of what a training's worker on a cluster may do: it
// shows the key of its run, which is none of ours, and the route looks at it.
const workerKey Scope = "worker"

// anyKey is the scope of what everybody with a key may know, whatever else the
// key is for.
const anyKey Scope = "any"

// canFail describes the errors of a route under /api/v1.
func (a *API) canFail(op *huma.Operation) {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = &huma.Response{
		Description: "What went wrong",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: a.schemaOf(Problem{})}},
	}
}

// What plain routes are described to answer, with which content.

type content = map[string]*huma.MediaType

func returns(c content) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "OK", Content: c}}
}

func leads(to string) map[string]*huma.Response {
	return map[string]*huma.Response{"307": {Description: "See " + to}}
}

func html() content {
	return content{"text/html": {Schema: &huma.Schema{Type: huma.TypeString}}}
}

func (a *API) json(example any) content {
	return content{"application/json": {Schema: a.schemaOf(example)}}
}

func (a *API) schemaOf(example any) *huma.Schema {
	return a.described.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(example), true, "")
}

func pathParam(name string) []*huma.Param {
	return []*huma.Param{{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}}}
}
