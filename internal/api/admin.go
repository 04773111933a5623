package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

func (a *API) addKeys() {
	op := get("/keys", "list-keys", tagServer, "API keys, without their secrets")
	add(a, Admin, op, func(context.Context, *struct{}) (*answer[keyList], error) {
		return &answer[keyList]{keyList{a.Keys.List()}}, nil
	})

	op = huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/keys", OperationID: "create-key", Tags: []string{tagServer},
		Summary: "Create a key; the answer is the only place where it stands in full", DefaultStatus: http.StatusCreated,
		MaxBodyBytes: smallBody,
	}
	add(a, Admin, op, func(_ context.Context, in *answer[keyRequest]) (*answer[newKey], error) {
		text, key, err := a.Keys.Create(in.Body.Name, in.Body.Scopes)
		return &answer[newKey]{newKey{Key: key, Text: text}}, err
	})

	op = huma.Operation{
		Method: http.MethodDelete, Path: "/api/v1/keys/{id}", OperationID: "revoke-key", Tags: []string{tagServer},
		Summary: "Revoke a key, and end its sessions at once",
	}
	add(a, Admin, op, func(_ context.Context, in *struct {
		ID string `path:"id"`
	}) (*struct{}, error) {
		return nil, a.Keys.Revoke(in.ID)
	})
}

type keyList struct {
	Keys []Key `json:"keys" doc:"Oldest first"`
}

type keyRequest struct {
	Name   string  `json:"name" doc:"What or whom it is for"`
	Scopes []Scope `json:"scopes,omitempty" enum:"read,write,operate,admin" doc:"Absent: read, write, operate"`
}

// newKey is a key as its creator sees it, once.
type newKey struct {
	Key
	Text string `json:"key" doc:"The key itself, fet_<id>_<secret>"`
}
