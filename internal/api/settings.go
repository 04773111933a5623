package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"fettle"
	"fettle/internal/config"
)

// Settings is what the API needs of the settings that the server runs with.
type Settings interface {
	// Settings is what is in force.
	Settings() SettingsState
	// Reload looks at the configuration file now, instead of within a second.
	Reload() fettle.SettingsChange
}

// SettingsState is what a server runs with.
type SettingsState struct {
	File     string                 `json:"file,omitempty" doc:"The configuration file; absent: there is none"`
	Settings []config.Setting       `json:"settings" doc:"In force now"`
	Waiting  []fettle.SettingChange `json:"waiting" doc:"What the file says otherwise, and what a restart puts in force"`
	Error    string                 `json:"error,omitempty" doc:"What is wrong with the file as it is now; the old settings go on"`
}

func (a *API) addSettings() {
	add(a, Admin, get("/settings", "get-settings", tagServer, "The settings in force, and what waits for a restart; secrets are hidden"),
		func(context.Context, *struct{}) (*answer[SettingsState], error) {
			s := a.Settings.Settings()
			s.Settings = append([]config.Setting{}, s.Settings...)
			s.Waiting = append([]fettle.SettingChange{}, s.Waiting...)
			return &answer[SettingsState]{s}, nil
		})

	op := huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/settings/reload", OperationID: "reload-settings", Tags: []string{tagServer},
		Summary: "Look at the configuration file now; the server does so every second by itself",
	}
	add(a, Admin, op, func(context.Context, *struct{}) (*answer[fettle.SettingsChange], error) {
		change := a.Settings.Reload()
		change.Changes = append([]fettle.SettingChange{}, change.Changes...)
		return &answer[fettle.SettingsChange]{change}, nil
	})
}
