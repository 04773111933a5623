package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"fettle"
	"fettle/internal/alarm"
)

func (a *API) addAlarms() {
	add(a, Read, get("/alarms", "list-alarms", tagAlarms, "Alarms"),
		func(_ context.Context, in *struct {
			State   string `query:"state" enum:"open,unanswered,all" default:"open" doc:"open: the condition lasts; unanswered: nobody has acknowledged it, though it may be over"`
			Machine string `query:"machine" doc:"Only those of this machine"`
			Limit   int    `query:"limit" minimum:"1" maximum:"10000" default:"100"`
		}) (*answer[alarmList], error) {
			list := []fettle.Alarm{}
			for _, one := range a.Alarms.List(alarm.Filter{Machine: in.Machine, State: in.State, Limit: in.Limit}) {
				list = append(list, causesNotNull(one))
			}
			return &answer[alarmList]{alarmList{list}}, nil
		})

	add(a, Read, get("/alarms/{id}", "get-alarm", tagAlarms, "One alarm"),
		func(_ context.Context, in *struct {
			ID uint64 `path:"id"`
		}) (*answer[fettle.Alarm], error) {
			found, err := a.Alarms.Get(in.ID)
			return &answer[fettle.Alarm]{causesNotNull(found)}, err
		})

	op := huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/alarms/{id}/acknowledge", OperationID: "acknowledge-alarm", Tags: []string{tagAlarms},
		Summary: "Acknowledge an alarm: somebody has seen it", MaxBodyBytes: smallBody,
	}
	add(a, Operate, op, answering(a.Alarms.Acknowledge))

	op = huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/alarms/{id}/accept", OperationID: "accept-alarm", Tags: []string{tagAlarms},
		Summary: "Say that what an alarm tells of is normal now", MaxBodyBytes: smallBody,
		Description: "Ends all open alarms of the machine. From when the alarm began, how the machine is counts as normal: it is judged by that, and models learn from it. What it was like before counts no more.",
	}
	add(a, Operate, op, answering(a.Accept))
}

// answering is how a person's word on an alarm is taken.
func answering(say func(id uint64, by, note string) (fettle.Alarm, error)) func(context.Context, *acknowledgement) (*answer[fettle.Alarm], error) {
	return func(ctx context.Context, in *acknowledgement) (*answer[fettle.Alarm], error) {
		var by, note string
		if in.Body != nil {
			by, note = strings.TrimSpace(in.Body.By), strings.TrimSpace(in.Body.Note)
		}
		if by == "" {
			by = callerOf(ctx).name
		}
		answered, err := say(in.ID, by, note)
		return &answer[fettle.Alarm]{causesNotNull(answered)}, err
	}
}

type alarmList struct {
	Alarms []fettle.Alarm `json:"alarms" doc:"The newest first"`
}

type acknowledgement struct {
	ID   uint64 `path:"id"`
	Body *acknowledge
}

type acknowledge struct {
	By   string `json:"by,omitempty" doc:"Who it is; absent: the key's name"`
	Note string `json:"note,omitempty" doc:"What that person has to say"`
}

func causesNotNull(one fettle.Alarm) fettle.Alarm {
	if one.Causes == nil {
		one.Causes = []fettle.Cause{}
	}
	return one
}
