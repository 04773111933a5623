package app

import (
	"context"
	"fmt"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/forecast"
	"fettle/internal/train"
)

// hangsAfter is how long a training may say nothing before it counts as hanging.
// One step, or one forecast of the held-out windows, takes far less.
const hangsAfter = 10 * time.Minute

func (a *App) trainingConfig() train.Config {
	t := a.cfg.Training
	return train.Config{
		Dir: a.cfg.Data.Runs(), Parallel: t.Parallel, Threads: t.Threads, Memory: int64(t.Memory), Budget: time.Duration(t.Budget), Windows: t.Windows,
		History: time.Duration(t.History), Preset: t.Preset, Schedule: t.Schedule, Stagger: time.Duration(t.Stagger), Margin: t.Margin, Shadow: time.Duration(t.Shadow),
		Attempts: t.Attempts, Forecasters: a.forecasters(), Engine: t.Engine,
		Cluster: train.ClusterConfig{URL: t.Spark.URL, Parallel: t.Spark.Parallel, FettleURL: t.Spark.FettleURL},
	}
}

// spark gets at the cluster that the configuration names, and at others.
func (a *App) spark() train.SparkConnect {
	s := a.cfg.Training.Spark
	return train.SparkConnect{URL: s.URL, Token: s.Token.Reveal(), CAFile: s.CAFile, Confs: s.Confs, Binary: s.Binary, Log: a.logOf("training")}
}

func (a *App) trainingDeps() train.Deps {
	return train.Deps{
		Rows: a.flow.readings, Models: a.models, DB: a.db, Quarantined: a.flow.judge.Quarantined, Trial: a.flow.forecasts.Trial,
		Runner: train.Children{Quiet: hangsAfter}, Spark: a.spark(), Now: a.now,
		Changed: func(t fettle.Training) { a.flow.say(fettle.EventTraining, t.Machine, t) },
	}
}

// Train asks for a run of every machine that has the readings for it: the demo
// does, once it has filled in the past.
func (a *App) Train(forecaster, trigger string) error {
	_, _, err := a.training.Start(train.Request{Forecaster: forecaster, Trigger: trigger})
	return err
}

// newestTraining is the run that a machine's page tells of.
func (a *App) newestTraining(machine string) (fettle.Training, bool) {
	list := a.training.List(train.Filter{Machine: machine})
	for _, t := range list {
		if t.State == fettle.TrainingRunning {
			return t, true
		}
	}
	if len(list) == 0 {
		return fettle.Training{}, false
	}
	return list[0], true
}

func (a *App) trainingPart() api.Part {
	waiting, running := a.training.Active()
	return api.Part{Name: "training", State: api.PartOK, Detail: fmt.Sprintf("%d running, %d waiting; schedule %s", running, waiting, orOff(a.cfg.Training.Schedule))}
}

// driftEvery is how often it is looked whether a machine's forecasts are still
// as good as they were.
const driftEvery = time.Minute

// watchDrift asks for a training where forecasts have become worse.
func (a *App) watchDrift(ctx context.Context) error {
	return every(ctx, driftEvery, func() {
		if a.current().Training.Drift != "off" {
			a.lookForDrift()
		}
	})
}

func (a *App) lookForDrift() {
	for _, info := range a.flow.readings.Machines() {
		for _, f := range a.forecasters() {
			trainDrifted(a.flow.forecasts, a.training, info.Machine, f.Name)
		}
	}
}

// trainDrifted asks for a training if a forecaster has become worse at a machine.
func trainDrifted(forecasts *forecast.Engine, training *train.Manager, machine, forecaster string) {
	if drift, known := forecasts.Drift(machine, forecaster); known && drift.Drifted && len(drift.Sensors) > 0 {
		training.Drifted(machine, forecaster, "forecasts of "+drift.Sensors[0].Sensor+" became worse")
	}
}
