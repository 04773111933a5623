package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fettle"
)

// Silences is what the API needs of who keeps them.
type Silences interface {
	Silence(fettle.Silence) (fettle.Silence, error)
	EndSilence(id uint64, by string) (fettle.Silence, error)
	Silences(machine string) []fettle.Silence // "": of all machines; the newest first
}

func (a *API) addSilences() {
	add(a, Read, get("/silences", "list-silences", tagAlarms, "Silences: when nobody is told of a machine's alarms"),
		func(_ context.Context, in *struct {
			State   string `query:"state" enum:"current,all" default:"current" doc:"current: not over yet"`
			Machine string `query:"machine" doc:"Only those of this machine"`
		}) (*answer[silenceList], error) {
			list := []fettle.Silence{}
			for _, s := range a.Silences.Silences(in.Machine) {
				if in.State == "all" || s.Until.After(a.cfg.Now()) {
					list = append(list, s)
				}
			}
			return &answer[silenceList]{silenceList{list}}, nil
		})

	op := huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/machines/{machine}/silences", OperationID: "silence-machine", Tags: []string{tagAlarms},
		Summary:      "Tell nobody of a machine's alarms for a time",
		Description:  "Alarms are raised, listed and cleared as ever, and on MQTT; no e-mail or webhook goes out, and nothing is learned from the machine's readings of that time. An alarm that lasts when the silence is over is told then.",
		MaxBodyBytes: smallBody, DefaultStatus: http.StatusCreated,
	}
	add(a, Operate, op, func(ctx context.Context, in *silenceWish) (*answer[fettle.Silence], error) {
		if err := a.mustExist(in.Machine); err != nil {
			return nil, err
		}
		wanted, err := in.silence(a.cfg.Now())
		if err != nil {
			return nil, err
		}
		if wanted.By == "" {
			wanted.By = callerOf(ctx).name
		}
		made, err := a.Silences.Silence(wanted)
		return &answer[fettle.Silence]{made}, err
	})

	op = huma.Operation{
		Method: http.MethodDelete, Path: "/api/v1/silences/{id}", OperationID: "end-silence", Tags: []string{tagAlarms},
		Summary: "End a silence before its time", DefaultStatus: http.StatusOK,
	}
	add(a, Operate, op, func(ctx context.Context, in *struct {
		ID uint64 `path:"id"`
	}) (*answer[fettle.Silence], error) {
		ended, err := a.Silences.EndSilence(in.ID, callerOf(ctx).name)
		return &answer[fettle.Silence]{ended}, err
	})
}

type silenceList struct {
	Silences []fettle.Silence `json:"silences" doc:"The newest first"`
}

type silenceWish struct {
	MachinePath
	Body struct {
		Kind fettle.SilenceKind `json:"kind,omitempty" enum:"silence,service" doc:"service: somebody works on the machine; absent: silence"`
		For  string             `json:"for" doc:"How long, such as 2h; at most 168h (7 days)"`
		From *time.Time         `json:"from,omitempty" doc:"When it begins, or began; absent: now. At most 31 days from now"`
		Why  string             `json:"why" doc:"The reason"`
		By   string             `json:"by,omitempty" doc:"Who asks for it; absent: the key's name"`
	}
}

func (w *silenceWish) silence(now time.Time) (fettle.Silence, error) {
	length, err := time.ParseDuration(w.Body.For)
	if err != nil {
		return fettle.Silence{}, fettle.BadField("bad silence", "body.for", strconv.Quote(w.Body.For), "a duration, such as 30m, 2h or 72h")
	}
	s := fettle.Silence{Machine: w.Machine, Kind: w.Body.Kind, From: now, Why: strings.TrimSpace(w.Body.Why), By: strings.TrimSpace(w.Body.By)}
	if s.Kind == "" {
		s.Kind = fettle.SilenceNotices
	}
	if w.Body.From != nil {
		s.From = *w.Body.From
	}
	s.Until = s.From.Add(length)
	return s, nil
}
