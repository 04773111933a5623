package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"fettle/internal/notify"
)

// Notices is what the API needs of the room that tells people about alarms.
type Notices interface {
	Status() []notify.AddressStatus
	Dead(n int) ([]notify.DeadLetter, error)
	Test(ctx context.Context, receiver string) ([]notify.Tested, error)
	Resend(receiver string, number uint64) ([]notify.Resent, error)
}

func (a *API) addNotices() {
	op := get("/notices", "list-notices", tagAlarms, "Who is told about alarms by e-mail and webhook, how that goes, and what was given up")
	add(a, Operate, op, func(_ context.Context, in *struct {
		Limit int `query:"limit" minimum:"0" maximum:"1000" default:"100" doc:"Dead letters listed"`
	}) (*answer[noticeList], error) {
		dead, err := a.Notices.Dead(in.Limit)
		return &answer[noticeList]{noticeList{Receivers: a.Notices.Status(), Dead: dead}}, err
	})

	op = huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/notices/test", OperationID: "test-notices", Tags: []string{tagAlarms},
		Summary: "Send a test message, and tell how that went", MaxBodyBytes: smallBody,
	}
	add(a, Operate, op, func(ctx context.Context, in *answer[testRequest]) (*answer[testResult], error) {
		results, err := a.Notices.Test(ctx, in.Body.Receiver)
		return &answer[testResult]{testResult{results}}, err
	})

	op = huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/notices/resend", OperationID: "resend-notices", Tags: []string{tagAlarms},
		Summary: "Send again what was given up", MaxBodyBytes: smallBody,
	}
	add(a, Operate, op, func(_ context.Context, in *answer[resendRequest]) (*answer[resendResult], error) {
		results, err := a.Notices.Resend(in.Body.Receiver, in.Body.Number)
		return &answer[resendResult]{resendResult{results}}, err
	})
}

type resendRequest struct {
	Receiver string `json:"receiver,omitempty" doc:"Name of the receiver; absent: all"`
	Number   uint64 `json:"number,omitempty" doc:"Of the dead letter; absent: all"`
}

type resendResult struct {
	Results []notify.Resent `json:"results" doc:"One for each dead letter"`
}

type noticeList struct {
	Receivers []notify.AddressStatus `json:"receivers" doc:"One for each webhook and e-mail address, in the configuration's order"`
	Dead      []notify.DeadLetter    `json:"dead" doc:"Messages that were given up, the newest first"`
}

type testRequest struct {
	Receiver string `json:"receiver,omitempty" doc:"Name of the receiver; absent: all"`
}

type testResult struct {
	Results []notify.Tested `json:"results" doc:"One for each webhook and e-mail address"`
}
