package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/train"
)

type trainCmd struct {
	Start  trainStartCmd  `cmd:"" default:"withargs" help:"Start trainings; what plain fettle train does."`
	Status trainStatusCmd `cmd:"" help:"List trainings, or tell of one."`
	Cancel trainCancelCmd `cmd:"" help:"End a training."`
	Pause  trainPauseCmd  `cmd:"" help:"Let a training rest."`
	Resume trainResumeCmd `cmd:"" help:"Let a paused training go on."`
}

func (trainCmd) Help() string {
	return "A model is trained in a process of its own at the lowest priority, and serves if it is better than what serves on the newest fifth of the readings. The server must be running.\n\n" + examples(
		"fettle train                            all machines, each forecaster for which it has the readings",
		"fettle train lathe-1-spindle --wait     one machine, with a bar",
		"fettle train --preset research          as large as in the paper",
		"fettle train --on sc://spark:15002      on a Spark cluster, see docs/spark.md",
		"fettle train status                     what runs, what came of the others",
		"fettle train cancel 17                  stop it at once",
	)
}

type trainStartCmd struct {
	Machine    []string `arg:"" optional:"" placeholder:"MACHINE" help:"Machines. Default: all."`
	Forecaster string   `placeholder:"NAME" help:"Train for this forecaster only, such as short."`
	Preset     string   `placeholder:"NAME" help:"deployed, research, ett, or a JSON file. Default: training.preset."`
	On         string   `placeholder:"WHERE" help:"local, spark (the cluster of training.spark), or the address of a Spark Connect server, such as sc://host:15002. Default: training.engine."`
	Token      string   `env:"SPARK_CONNECT_AUTHENTICATE_TOKEN" hidden:"" help:"Secret of that server; in the environment, since arguments are seen by everybody."`

	Conf map[string]string `placeholder:"NAME=VALUE" mapsep:"none" help:"A Spark setting of the session there, beside training.spark.confs. May be given again."`
	Wait bool              `help:"Wait until all are over, with a bar; fails if one fails."`
	JSON bool              `help:"Print JSON."`
}

func (c *trainStartCmd) Run(ctx context.Context, out io.Writer, g *globals) error {
	server, err := trainingServer(ctx, g)
	if err != nil {
		return err
	}
	preset, err := presetText(c.Preset)
	if err != nil {
		return err
	}
	var answer api.TrainingStarted
	if err := server.call(ctx, http.MethodPost, "/api/v1/training", api.TrainingRequest{Machines: c.Machine, Forecaster: c.Forecaster, Preset: preset, On: c.cluster(), Confs: c.Conf}, &answer); err != nil {
		return err
	}
	for _, line := range refusalLines(answer.Refused) {
		note("not trained: %s", line)
	}
	if c.Wait {
		for i := range answer.Trainings {
			if answer.Trainings[i], err = server.awaitTraining(ctx, answer.Trainings[i]); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		err = printJSON(out, answer)
	} else {
		err = printFewRuns(out, answer.Trainings)
	}
	if err != nil || !c.Wait {
		return err
	}
	return failedOf(answer.Trainings)
}

// cluster is where to train, with the secret for it: an address that is given
// here is no setting's, and neither is its token.
func (c *trainStartCmd) cluster() string {
	if c.Token == "" || !strings.HasPrefix(c.On, "sc://") || strings.Contains(c.On, "token=") {
		return c.On
	}
	base, params, _ := strings.Cut(c.On, ";")
	return strings.TrimRight(base, "/") + "/;token=" + url.PathEscape(c.Token) + ";" + params
}

// Of many machines only the first lines are printed; JSON has them all.
const (
	mostRefusals = 10
	mostRuns     = 50
)

func refusalLines(refused []train.Refusal) []string {
	var lines []string
	for i, r := range refused {
		if i == mostRefusals && len(refused) > mostRefusals+1 {
			return append(lines, fmt.Sprintf("and %d more; --json has all reasons", len(refused)-i))
		}
		lines = append(lines, r.Reason)
	}
	return lines
}

// printFewRuns prints the first runs, and what there is beside them.
func printFewRuns(out io.Writer, list []fettle.Training) error {
	err := printRuns(out, list[:min(len(list), mostRuns)])
	if more := len(list) - mostRuns; err == nil && more > 0 {
		_, err = fmt.Fprintf(out, "and %d more; fettle train status --machine NAME tells of one machine\n", more)
	}
	return err
}

// failedOf is an error if a run came to nothing.
func failedOf(runs []fettle.Training) error {
	for _, t := range runs {
		if t.State != fettle.TrainingSucceeded {
			return fmt.Errorf("training %d of %s %s: %s", t.ID, t.Machine, t.State, t.Reason)
		}
	}
	return nil
}

// presetText is a preset's name, or what its file says: the server need not have
// the file.
func presetText(preset string) (string, error) {
	if !train.IsFile(preset) {
		return preset, nil
	}
	text, err := os.ReadFile(preset)
	if err != nil {
		return "", fmt.Errorf("read preset: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return "", fmt.Errorf("read preset %s: %w", preset, err)
	}
	return compact.String(), nil
}

type trainStatusCmd struct {
	ID      uint64 `arg:"" optional:"" placeholder:"ID" help:"One training. Default: all."`
	Machine string `placeholder:"NAME" help:"Of this machine only."`
	JSON    bool   `help:"Print JSON."`
}

func (c *trainStatusCmd) Run(ctx context.Context, out io.Writer, g *globals) error {
	server, err := trainingServer(ctx, g)
	if err != nil {
		return err
	}
	if c.ID != 0 {
		t, err := server.training(ctx, c.ID)
		if err != nil {
			return err
		}
		return printRun(out, t, c.JSON)
	}
	var list api.TrainingList
	if err := server.call(ctx, http.MethodGet, "/api/v1/training?"+url.Values{"machine": {c.Machine}}.Encode(), nil, &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, list)
	}
	if len(list.Trainings) == 0 {
		_, err := fmt.Fprintln(out, "Nothing was trained yet. fettle train does it.")
		return err
	}
	return printFewRuns(out, list.Trainings)
}

// trainingChange is a command that changes one run.
type trainingChange struct {
	ID   uint64 `arg:"" placeholder:"ID" help:"The training, as fettle train status lists it."`
	JSON bool   `help:"Print JSON."`
}

type (
	trainCancelCmd struct{ trainingChange }
	trainPauseCmd  struct{ trainingChange }
	trainResumeCmd struct{ trainingChange }
)

func (c *trainCancelCmd) Run(ctx context.Context, out io.Writer, g *globals) error {
	return c.do(ctx, out, g, "cancel")
}
func (c *trainPauseCmd) Run(ctx context.Context, out io.Writer, g *globals) error {
	return c.do(ctx, out, g, "pause")
}
func (c *trainResumeCmd) Run(ctx context.Context, out io.Writer, g *globals) error {
	return c.do(ctx, out, g, "resume")
}

func (c *trainingChange) do(ctx context.Context, out io.Writer, g *globals, what string) error {
	server, err := trainingServer(ctx, g)
	if err != nil {
		return err
	}
	var t fettle.Training
	if err := server.call(ctx, http.MethodPost, fmt.Sprintf("/api/v1/training/%d/%s", c.ID, what), nil, &t); err != nil {
		return err
	}
	return printRun(out, t, c.JSON)
}

// trainingServer is the server of the data folder: it alone trains.
func trainingServer(ctx context.Context, g *globals) (*remote, error) {
	cfg, err := g.config()
	if err != nil {
		return nil, err
	}
	server, err := findServer(ctx, cfg.Data.Dir)
	if fettle.KindOf(err) == fettle.NotFound {
		return nil, fmt.Errorf("%w; start fettle serve, which trains, or train on a table without a server: fettle fit%s", err, demoHere(cfg.Data.Dir))
	}
	return server, err
}

func (r *remote) training(ctx context.Context, id uint64) (t fettle.Training, err error) {
	err = r.call(ctx, http.MethodGet, "/api/v1/training/"+strconv.FormatUint(id, 10), nil, &t)
	return t, err
}

// askEvery is how often a waiting command asks how far a training is.
const askEvery = 500 * time.Millisecond

// awaitTraining shows a run's progress until it is over.
func (r *remote) awaitTraining(ctx context.Context, t fettle.Training) (fettle.Training, error) {
	if t.Plan != nil {
		note("%s, forecaster %s (run %d): %s", t.Machine, t.Forecaster, t.ID, planWords(*t.Plan))
	}
	const whole = 1000 // of the bar
	bar := newProgress(whole, "‰")
	defer bar.end()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	done := 0
	for {
		t, err := r.training(ctx, t.ID)
		if err != nil || t.State.Over() {
			return t, err
		}
		now := int(whole * t.Progress.Share())
		bar.tell(max(0, now-done), t.Machine+" "+progressWords(t))
		done = max(done, now)
		select {
		case <-ctx.Done():
			return t, fmt.Errorf("stopped waiting for training %d, which goes on: %w", t.ID, ctx.Err())
		case <-ticker.C:
		}
	}
}

func planWords(p fettle.TrainingPlan) string {
	return fmt.Sprintf("%d rows of %d sensors, %d parameters, at most %d epochs of %d windows; %s of memory, about %s if nothing else runs",
		p.Rows, p.Sensors, p.Parameters, p.Epochs, p.Windows, size(p.Bytes), duration(p.Seconds))
}

func progressWords(t fettle.Training) string {
	p := t.Progress
	if t.State != fettle.TrainingRunning || p.Steps == 0 {
		return string(t.State)
	}
	text := fmt.Sprintf("epoch %d of %d, loss %.4g", p.Epoch, p.Epochs, p.Loss)
	if p.Validation != nil {
		text += fmt.Sprintf(", validation %.4g", *p.Validation)
	}
	return text + ", " + duration(p.SecondsLeft) + " left at most"
}

func printRuns(out io.Writer, list []fettle.Training) error {
	t := newTable(out)
	t.row("RUN", "MACHINE", "FORECASTER", "STATE", "BY", "QUEUED (UTC)", "MODEL", "")
	for _, r := range list {
		what := r.Reason
		if r.State == fettle.TrainingRunning {
			what = fmt.Sprintf("%.0f %%, %s", 100*r.Progress.Share(), progressWords(r))
		}
		name := r.Model
		if name == "" {
			name = "-"
		}
		t.row(r.ID, r.Machine, r.Forecaster, stateWords(r), r.Trigger, r.QueuedAt.UTC().Format("2006-01-02 15:04:05"), name, what)
	}
	return t.Flush()
}

func stateWords(t fettle.Training) string {
	switch {
	case t.State == fettle.TrainingSucceeded && t.Promoted:
		return "promoted"
	case t.State == fettle.TrainingSucceeded && t.Waits:
		return "in the shadow"
	case t.State == fettle.TrainingSucceeded:
		return "refused"
	default:
		return string(t.State)
	}
}

func printRun(out io.Writer, r fettle.Training, asJSON bool) error {
	if asJSON {
		return printJSON(out, r)
	}
	t := newTable(out)
	t.row(fmt.Sprintf("Training %d of %s, forecaster %s: %s", r.ID, r.Machine, r.Forecaster, stateWords(r)))
	for _, line := range []struct{ what, text string }{
		{"Why", r.Reason}, {"What to do", r.Advice}, {"Model", r.Model}, {"Where", r.On}, {"Progress", runningWords(r)}, {"In the shadow", shadowWords(r.Shadow)},
	} {
		if line.text != "" {
			t.row(line.what, line.text)
		}
	}
	if r.Plan != nil {
		t.row("Plan", planWords(*r.Plan))
	}
	if len(r.Quarantined) > 0 {
		t.row("Left out", fmt.Sprintf("%d stretches in quarantine", len(r.Quarantined)))
	}
	if len(r.Scores) > 0 {
		t.row()
		t.row("", "MSE", "MAE")
		for _, s := range r.Scores {
			t.row(s.Name, fmt.Sprintf("%.5g", s.MSE), fmt.Sprintf("%.5g", s.MAE))
		}
	}
	return t.Flush()
}

// shadowWords say how a version does that waits beside what serves.
func shadowWords(s *fettle.TrainingShadow) string {
	if s == nil {
		return ""
	}
	text := fmt.Sprintf("%d of at least %d forecasts beside %s, until %s at the earliest", s.Forecasts, s.Needed, s.Beside, stamp(s.EndsAt))
	if s.Forecasts > 0 {
		text += fmt.Sprintf("; MSE %.4g beside %.4g", s.MSE, s.BesideMSE)
	}
	if s.Missed > 0 {
		text += fmt.Sprintf("; it gave none %d times: %s", s.Missed, s.Trouble)
	}
	return text
}

func runningWords(t fettle.Training) string {
	if t.State != fettle.TrainingRunning {
		return ""
	}
	return progressWords(t)
}
