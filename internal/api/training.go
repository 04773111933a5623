package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"fettle"
	"fettle/internal/train"
)

// A TrainingRequest asks for training runs.
type TrainingRequest struct {
	Machines   []string `json:"machines,omitempty" maxItems:"10000" doc:"Machines to train; none: all"`
	Forecaster string   `json:"forecaster,omitempty" maxLength:"128" doc:"Name of the forecaster to train for; none: each for which a machine has the readings"`
	Preset     string   `json:"preset,omitempty" maxLength:"8192" doc:"deployed, research, ett, or as JSON one of them with changes, such as {\"preset\":\"deployed\",\"epochs\":5}; none: training.preset"`

	On    string            `json:"on,omitempty" maxLength:"2048" doc:"Where: local, spark (training.spark.url), or the address of another cluster's Connect server, such as sc://host:15002, which takes the scope admin; none: training.engine"`
	Confs map[string]string `json:"confs,omitempty" maxProperties:"100" doc:"Spark settings of the session there, beside training.spark.confs; takes the scope admin"`
}

// TrainingStarted is the answer to it.
type TrainingStarted struct {
	Trainings []fettle.Training `json:"trainings" doc:"Runs that wait now, each with what it will take"`
	Refused   []train.Refusal   `json:"refused" doc:"What cannot be trained, and why"`
}

// TrainingList is a list of runs.
type TrainingList struct {
	Trainings []fettle.Training `json:"trainings" doc:"The newest first"`
}

// trainingPath names a run.
type trainingPath struct {
	ID uint64 `path:"id" doc:"Number of the run"`
}

func (a *API) addTraining() {
	add(a, Read, get("/training", "list-training", tagTraining, "Training runs, the newest first"),
		func(_ context.Context, in *struct {
			Machine string `query:"machine" doc:"Of this machine only"`
			State   string `query:"state" enum:"queued,running,paused,succeeded,failed,cancelled" doc:"In this state only"`
			Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many"`
		}) (*answer[TrainingList], error) {
			runs := a.Training.List(train.Filter{Machine: in.Machine, State: fettle.TrainingState(in.State), Limit: in.Limit})
			return &answer[TrainingList]{TrainingList{runs}}, nil
		})
	add(a, Read, get("/training/{id}", "get-training", tagTraining, "One training run"),
		func(_ context.Context, in *trainingPath) (*answer[fettle.Training], error) {
			t, err := a.Training.Get(in.ID)
			return &answer[fettle.Training]{t}, err
		})
	a.addWorkers()
	start := huma.Operation{
		Method: http.MethodPost, Path: "/api/v1/training", OperationID: "start-training", Tags: []string{tagTraining}, DefaultStatus: http.StatusAccepted,
		Summary:      "Train models: runs are queued, and what each will take is answered at once",
		MaxBodyBytes: 2 << 20,
	}
	add(a, Operate, start, a.startTraining)
	for _, what := range []struct {
		action  train.Action
		summary string
	}{
		{train.Cancel, "End a training run at once; its machine is served as before"},
		{train.Pause, "Stop a training run so that it can go on later from where it is"},
		{train.Resume, "Let a paused training run go on"},
	} {
		op := huma.Operation{
			Method: http.MethodPost, Path: "/api/v1/training/{id}/" + string(what.action), OperationID: string(what.action) + "-training",
			Tags: []string{tagTraining}, Summary: what.summary,
		}
		add(a, Operate, op, func(ctx context.Context, in *trainingPath) (*answer[fettle.Training], error) {
			t, err := a.Training.Control(in.ID, what.action, callerOf(ctx).name)
			return &answer[fettle.Training]{t}, err
		})
	}
}

// startTraining queues runs. A preset of files is for the configuration: who
// calls over the network must not make the server read them.
func (a *API) startTraining(ctx context.Context, in *answer[TrainingRequest]) (*answer[TrainingStarted], error) {
	ask := in.Body
	if (len(ask.Confs) > 0 || ask.On != "" && ask.On != train.Here && ask.On != train.OnSpark) && !callerOf(ctx).may(Admin) {
		return nil, fettle.Errorf(fettle.Forbidden, "only an administrator may send readings to a cluster of his choice, and fettle to log in there: fettle train --on on the server, or a key with the scope admin")
	}
	if train.IsFile(ask.Preset) {
		return nil, fettle.BadField("preset is a file", "body.preset", ask.Preset, "the name of a preset, or what the file holds")
	}
	started, refused, err := a.Training.Start(train.Request{
		Machines: ask.Machines, Forecaster: ask.Forecaster, Preset: ask.Preset, Trigger: train.ByHand, By: callerOf(ctx).name, On: ask.On, Confs: ask.Confs,
	})
	if err != nil {
		return nil, err
	}
	return &answer[TrainingStarted]{TrainingStarted{append([]fettle.Training{}, started...), append([]train.Refusal{}, refused...)}}, nil
}
