package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"fettle/internal/broker"
)

// addUsers describes the users of the MQTT broker.
func (a *API) addUsers() {
	op := get("/users", "list-users", tagServer, "Users of the MQTT broker in the data folder, without their passwords")
	add(a, Admin, op, func(context.Context, *struct{}) (*answer[userList], error) {
		return &answer[userList]{userList{a.Users.List()}}, nil
	})

	op = huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/users", OperationID: "add-user", Tags: []string{tagServer},
		Summary: "Add a user; a password that is made for it stands in the answer only", DefaultStatus: http.StatusCreated,
		MaxBodyBytes: smallBody,
	}
	add(a, Admin, op, func(_ context.Context, in *answer[userRequest]) (*answer[newPassword], error) {
		made, err := a.Users.Add(broker.Account{Name: in.Body.Name, Publish: in.Body.Publish, Subscribe: in.Body.Subscribe}, in.Body.Password)
		return &answer[newPassword]{newPassword{made}}, err
	})

	op = huma.Operation{
		Method: http.MethodPut, Path: "/api/v1/users/{name}/password", OperationID: "set-password", Tags: []string{tagServer},
		Summary: "Change a user's password, and disconnect who uses the old one", MaxBodyBytes: smallBody,
	}
	add(a, Admin, op, func(_ context.Context, in *struct {
		Name string `path:"name"`
		Body passwordRequest
	}) (*answer[newPassword], error) {
		made, err := a.Users.SetPassword(in.Name, in.Body.Password)
		return &answer[newPassword]{newPassword{made}}, err
	})

	op = huma.Operation{
		Method: http.MethodPut, Path: "/api/v1/users/{name}/rights", OperationID: "set-rights", Tags: []string{tagServer},
		Summary: "Change what a user may do, from its next message on", MaxBodyBytes: smallBody,
	}
	add(a, Admin, op, func(_ context.Context, in *struct {
		Name string `path:"name"`
		Body rightsRequest
	}) (*struct{}, error) {
		return nil, a.Users.SetRights(in.Name, in.Body.Publish, in.Body.Subscribe)
	})

	op = huma.Operation{
		Method: http.MethodDelete, Path: "/api/v1/users/{name}", OperationID: "remove-user", Tags: []string{tagServer},
		Summary: "Remove a user, and disconnect it at once",
	}
	add(a, Admin, op, func(_ context.Context, in *struct {
		Name string `path:"name"`
	}) (*struct{}, error) {
		return nil, a.Users.Remove(in.Name)
	})
}

type userList struct {
	Users []broker.Account `json:"users" doc:"By name"`
}

type userRequest struct {
	Name      string   `json:"name"`
	Password  string   `json:"password,omitempty" doc:"Absent: one is made"`
	Publish   []string `json:"publish,omitempty" doc:"Topics it may publish on, as MQTT filters; {user} stands for its name. Absent: all"`
	Subscribe []string `json:"subscribe,omitempty" doc:"Topics it may subscribe to, likewise"`
}

type rightsRequest struct {
	Publish   []string `json:"publish" doc:"Topics it may publish on, as MQTT filters; {user} stands for its name"`
	Subscribe []string `json:"subscribe" doc:"Topics it may subscribe to, likewise"`
}

type passwordRequest struct {
	Password string `json:"password,omitempty" doc:"Absent: one is made"`
}

type newPassword struct {
	Password string `json:"password,omitempty" doc:"The password that was made; absent if one was given"`
}
