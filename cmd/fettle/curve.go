package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"fettle/internal/train"
	"fettle/patchtst"
)

// fitProgress tells how far a training is: a bar of its steps on a terminal,
// else a line now and then; and a line for each epoch.
type fitProgress struct {
	*progress
	began, epoch time.Time
	told         time.Time // when an epoch last got its line
	done         int       // steps
	best         float64
}

// tellEvery keeps short epochs from flooding a log: so often one gets a line.
const tellEvery = time.Second

func newFitProgress(steps int) *fitProgress {
	now := time.Now()
	return &fitProgress{progress: newProgress(int64(steps), "steps"), began: now, epoch: now, best: math.Inf(1)}
}

// step is patchtst's Progress.
func (f *fitProgress) step(p patchtst.Progress) {
	where := fmt.Sprintf("epoch %d of %d, loss %s", p.Epoch, p.Epochs, loss(p.Loss))
	steps := p.Step - f.done
	if f.done == 0 && p.Step > 1 {
		f.began = time.Now() // went on from a checkpoint: those steps took no time here
	}
	f.done = p.Step
	f.tell(steps, where)
	if p.ValidationScore == nil {
		return
	}
	better := ""
	if p.ValidationScore.MSE < f.best {
		f.best, better = p.ValidationScore.MSE, ", best so far"
	}
	took := time.Since(f.epoch)
	f.epoch = time.Now()
	if p.Epoch > 1 && p.Epoch < p.Epochs && time.Since(f.told) < tellEvery {
		return
	}
	f.told = time.Now()
	left := time.Since(f.began).Seconds() / float64(max(p.Step, 1)) * float64(p.Steps-p.Step)
	f.progress.note("epoch %d of %d: train %s, validation %s%s; %s, %s left at most", p.Epoch, p.Epochs, loss(p.Loss), loss(p.ValidationScore.MSE), better,
		duration(took.Seconds()), duration(left))
}

// loss writes a loss to four digits, however small.
func loss(v float64) string { return fmt.Sprintf("%.4g", v) }

// A training is a report for people and programs.
type training struct {
	Epochs  []epoch `json:"epochs"`
	Best    int     `json:"best_epoch"` // from 1; 0: none
	Steps   int     `json:"steps"`
	Windows int     `json:"windows"`
	Stopped string  `json:"stopped"`
	Seconds float64 `json:"seconds"`
}

// An epoch's losses are mean squared errors in scaled units.
type epoch struct {
	Train      float64  `json:"train"`
	Validation *float64 `json:"validation,omitempty"`
	Rate       float64  `json:"learning_rate"`
}

func trainingOf(r patchtst.Report, took time.Duration) *training {
	t := &training{Epochs: []epoch{}, Best: r.Best + 1, Steps: r.Steps, Windows: r.Windows, Stopped: r.Stopped, Seconds: took.Seconds()}
	for _, e := range r.Epochs {
		one := epoch{Train: e.Loss, Rate: e.Rate}
		if e.Validation.Windows > 0 {
			one.Validation = &e.Validation.MSE
		}
		t.Epochs = append(t.Epochs, one)
	}
	return t
}

// print tells it all: the curve, the scores, the folder.
func (f *fitted) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(out, f)
	}
	t := newTable(out)
	if f.Training != nil {
		f.Training.print(t)
	}
	printJudgement(t, f.Judgement)
	t.row()
	t.row(fmt.Sprintf("%s: %s for %s, %d parameters, sensors %s", f.Dir, f.Model.Family, f.Model.Machine, f.Model.Parameters, strings.Join(f.Model.Sensors, ", ")))
	return t.Flush()
}

// curveWidth is the length of the longest bar of a learning curve, and
// curveRows how many epochs it shows.
const (
	curveWidth = 32
	curveRows  = 40
)

// print writes the learning curve: an epoch a line, a bar for its validation
// (or its training, if nothing validated), on a scale of logarithms.
func (f *training) print(t table) {
	if len(f.Epochs) == 0 {
		return
	}
	low, high := math.Inf(1), 0.0
	for _, e := range f.Epochs {
		low, high = min(low, e.shown()), max(high, e.shown())
	}
	t.row("EPOCH", "TRAIN", "VALIDATION", "")
	every := (len(f.Epochs) + curveRows - 1) / curveRows
	for i, e := range f.Epochs {
		best := i+1 == f.Best
		if i%every != 0 && i != len(f.Epochs)-1 && !best {
			continue
		}
		validation, mark := "-", ""
		if e.Validation != nil {
			validation = loss(*e.Validation)
		}
		if best {
			mark = " best"
		}
		t.row(i+1, loss(e.Train), validation, bar(e.shown(), low, high)+mark)
	}
	why := map[string]string{"patience": "it got no better", "cancelled": "stopped by hand", "diverged": "the loss was no longer a number"}[f.Stopped]
	if why != "" {
		why = ": " + why
	}
	t.row()
	t.row(fmt.Sprintf("%d epochs, %d steps in %s%s", len(f.Epochs), f.Steps, duration(f.Seconds), why))
	t.row()
}

func (e epoch) shown() float64 {
	if e.Validation != nil {
		return *e.Validation
	}
	return e.Train
}

// bar is longest for the highest loss and one sign for the lowest, by
// logarithms, in eighths of a sign.
func bar(v, low, high float64) string {
	share := 0.0
	if low > 0 {
		// Losses that hardly differ look alike: the whole width is a factor of 2 at least.
		share = math.Log(v/low) / math.Log(max(high/low, 2))
	}
	eighths := 8 + int(math.Round(share*8*(curveWidth-1)))
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text
}

// printJudgement writes the scores, and who is ahead.
func printJudgement(t table, j train.Judgement) {
	if len(j.Scores) == 0 {
		t.row("Nothing could be judged: " + j.Missing)
		return
	}
	rows := "the newest rows, which nothing was chosen by"
	if !j.Unseen {
		rows = "the rows that the best epoch was chosen by: flattering"
	}
	t.row(fmt.Sprintf("Errors on %d windows of %s, in scaled units:", j.Scores[0].Windows, rows))
	t.row()
	t.row("", "MSE", "MAE")
	best := 0
	for i, s := range j.Scores {
		t.row(s.Name, loss(s.MSE), loss(s.MAE))
		if s.MSE < j.Scores[best].MSE {
			best = i
		}
	}
	if j.Missing != "" {
		t.row("left out: " + j.Missing)
	}
	if best > 0 && j.Scores[0].MSE > 0 {
		t.row()
		t.row(fmt.Sprintf("%s is %.0f %% better than %s.", j.Scores[best].Name, 100*(1-j.Scores[best].MSE/j.Scores[0].MSE), j.Scores[0].Name))
	}
}
