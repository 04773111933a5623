// Package api is what HTTP clients see of fettle, but for the page's own
// drawings: the routes of the old system, kept word for word; the REST API
// under /api/v1 with its OpenAPI description; health and metrics; and the
// guard that decides who may do what.
//
// A request walks through it in this order: the guard (guard.go) finds out who
// asks and whether that caller may; the dispatcher (api.go) finds the route, or
// says in the old system's words that there is none; the route reads from the
// rooms below through the small interfaces of Deps and answers. Errors become
// HTTP in one place, problem.go.
//
//	guard.go      who asks, and may they; refusal.go says no
//	session.go    keys exchanged for cookies; keys.go is the ring of keys
//	routes.go     how a route is registered and described
//	old.go        the old routes; predict.go, validate.go the larger ones
//	v1.go         what /api/v1 has in common, and the machines
//	readings.go   readings out; send.go, readings in
//	forecasts.go  forecasts, verdicts, anomalies; alarms.go, events.go, admin.go
//	server.go     status, models, health, metrics; docs.go, the description
//
// Two listeners share one API: Handler(false) treats callers from this machine
// as the local user, Handler(true) asks everybody for a key, and is where a
// tunnel points.
//
// It never computes a forecast, a verdict or an alarm, never starts a
// goroutine, and never holds a listener: those are the rooms' and the app's.
package api
