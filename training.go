package fettle

import "time"

// TrainingState is where a training run stands in its life.
type TrainingState string

// A run waits, runs, may be paused and go on, and ends in one of three ways.
const (
	TrainingQueued    TrainingState = "queued"
	TrainingRunning   TrainingState = "running"
	TrainingPaused    TrainingState = "paused"
	TrainingSucceeded TrainingState = "succeeded" // a model came of it; Promoted says whether it serves
	TrainingFailed    TrainingState = "failed"
	TrainingCancelled TrainingState = "cancelled"
)

// Over tells whether a run has ended.
func (s TrainingState) Over() bool {
	return s == TrainingSucceeded || s == TrainingFailed || s == TrainingCancelled
}

// A Training is one run that trains a model for one machine and forecaster, and
// what became of it.
type Training struct {
	ID         uint64        `json:"id"`
	Machine    string        `json:"machine"`
	Forecaster string        `json:"forecaster" doc:"Name of the configured forecaster that it trains for, such as short"`
	Preset     string        `json:"preset" doc:"Where its settings come from"`
	Trigger    string        `json:"trigger" enum:"hand,schedule,drift,demo" doc:"What started it"`
	By         string        `json:"by,omitempty" doc:"Who started it, if by hand"`
	On         string        `json:"on,omitempty" doc:"Address of the cluster that trains it; absent: this computer does"`
	State      TrainingState `json:"state" enum:"queued,running,paused,succeeded,failed,cancelled"`

	QueuedAt  time.Time  `json:"queued_at" doc:"Wall clock"`
	NotBefore *time.Time `json:"not_before,omitempty" doc:"Wall clock; it waits until then, so that a schedule's machines do not start all at once"`
	StartedAt *time.Time `json:"started_at,omitempty" doc:"Wall clock, of its last start"`
	EndedAt   *time.Time `json:"ended_at,omitempty" doc:"Wall clock"`
	Attempts  int        `json:"attempts" doc:"How often its worker was started; more than once if one was killed"`

	Plan     *TrainingPlan    `json:"plan,omitempty" doc:"What it will take, told before it starts"`
	Progress TrainingProgress `json:"progress"`

	Rows        int             `json:"rows,omitempty" doc:"Rows it learned from and was judged on"`
	From        *time.Time      `json:"from,omitempty" doc:"Event time of the first of them"`
	To          *time.Time      `json:"to,omitempty" doc:"Event time of the last of them"`
	Quarantined []Interval      `json:"quarantined,omitempty" doc:"Stretches of event time that were left out"`
	Scores      []TrainingScore `json:"scores,omitempty" doc:"Errors on the held-out rows, the trained model's first"`
	Seconds     float64         `json:"seconds,omitempty" doc:"What the worker took"`

	Model    string `json:"model,omitempty" doc:"Name of the version that came of it"`
	Promoted bool   `json:"promoted" doc:"That version serves the machine"`
	Waits    bool   `json:"waits,omitempty" doc:"That version is forecast in the shadow of what serves; then it is promoted or refused"`

	Shadow *TrainingShadow `json:"shadow,omitempty" doc:"How that version does while it waits; absent before its first forecast"`
	Reason string          `json:"reason,omitempty" doc:"Why it was promoted or not, or why it failed"`
	Advice string          `json:"advice,omitempty" doc:"What to do about a failure"`
}

// A TrainingShadow is how a version does that is forecast in the shadow of what
// serves. Errors are means over the steps that both forecast, in ranges of what
// the version was trained on.
type TrainingShadow struct {
	Beside    string    `json:"beside" doc:"Name of the version that serves"`
	Began     time.Time `json:"began" doc:"Event time"`
	Until     time.Time `json:"until" doc:"Event time of the newest forecast"`
	EndsAt    time.Time `json:"ends_at" doc:"Event time; it is then decided on if there were enough forecasts"`
	Forecasts int64     `json:"forecasts" doc:"Made by both, of which readings have come"`
	Needed    int64     `json:"needed" doc:"Forecasts that it takes"`
	Missed    int64     `json:"missed,omitempty" doc:"Times at which it gave no forecast"`
	Trouble   string    `json:"trouble,omitempty" doc:"Why, the last time"`
	MSE       float64   `json:"mse"`
	MAE       float64   `json:"mae"`
	BesideMSE float64   `json:"beside_mse"`
	BesideMAE float64   `json:"beside_mae"`
}

// A TrainingPlan is what a run will take, as far as that is known before.
type TrainingPlan struct {
	Rows       int     `json:"rows"`
	Sensors    int     `json:"sensors"`
	Parameters int     `json:"parameters"`
	Windows    int     `json:"windows" doc:"That an epoch learns from"`
	Epochs     int     `json:"epochs" doc:"At most"`
	Seconds    float64 `json:"seconds" doc:"At most, on this computer if it has nothing else to do"`
	Bytes      int64   `json:"bytes" doc:"Of memory, the readings included"`
}

// TrainingProgress is how far a run has come.
type TrainingProgress struct {
	Epoch       int      `json:"epoch"`
	Epochs      int      `json:"epochs"`
	Step        int      `json:"step" doc:"Over all epochs"`
	Steps       int      `json:"steps" doc:"At most"`
	Loss        float64  `json:"loss" doc:"Mean squared error of the epoch so far, in scaled units"`
	Validation  *float64 `json:"validation,omitempty" doc:"The same of the last epoch on rows that it did not learn from"`
	SecondsLeft float64  `json:"seconds_left" doc:"At most"`
}

// Share is the part of a run that is done, 0 to 1.
func (p TrainingProgress) Share() float64 {
	if p.Steps <= 0 {
		return 0
	}
	return min(1, float64(p.Step)/float64(p.Steps))
}

// A TrainingScore is one forecaster's errors on the held-out rows, in scaled
// units: 1 is the sensor's inter-quartile range, or its whole range.
type TrainingScore struct {
	Name    string  `json:"name"`
	MSE     float64 `json:"mse"`
	MAE     float64 `json:"mae"`
	Windows int     `json:"windows"`
}
