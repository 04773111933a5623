package main

import (
	"context"
	"net/http"
	"net/url"

	"fettle/internal/broker"
)

// remoteUsers are the users of the server that holds the data folder.
type remoteUsers struct{ *remote }

type passwordAnswer struct{ Password string }

func (u remoteUsers) Add(ctx context.Context, account broker.Account, password string) (made string, err error) {
	wanted := struct {
		Name      string   `json:"name"`
		Password  string   `json:"password,omitempty"`
		Publish   []string `json:"publish"`
		Subscribe []string `json:"subscribe"`
	}{account.Name, password, account.Publish, account.Subscribe}
	var answer passwordAnswer
	err = u.call(ctx, http.MethodPost, "/api/v1/users", wanted, &answer)
	return answer.Password, err
}

func (u remoteUsers) List(ctx context.Context) ([]broker.Account, error) {
	var list struct{ Users []broker.Account }
	err := u.call(ctx, http.MethodGet, "/api/v1/users", nil, &list)
	return list.Users, err
}

func (u remoteUsers) SetPassword(ctx context.Context, name, password string) (made string, err error) {
	wanted := struct {
		Password string `json:"password,omitempty"`
	}{password}
	var answer passwordAnswer
	err = u.call(ctx, http.MethodPut, userPath(name)+"/password", wanted, &answer)
	return answer.Password, err
}

func (u remoteUsers) SetRights(ctx context.Context, name string, publish, subscribe []string) error {
	wanted := struct {
		Publish   []string `json:"publish"`
		Subscribe []string `json:"subscribe"`
	}{publish, subscribe}
	return u.call(ctx, http.MethodPut, userPath(name)+"/rights", wanted, nil)
}

func (u remoteUsers) Remove(ctx context.Context, name string) error {
	return u.call(ctx, http.MethodDelete, userPath(name), nil, nil)
}

func userPath(name string) string { return "/api/v1/users/" + url.PathEscape(name) }
