package fettle

import "time"

// ShortForecaster is the forecaster that every machine has: the machine's own
// step, a few steps ahead. Models and forecasts that name none belong to it.
const ShortForecaster = "short"

// A Forecast says what one machine's sensors will read after Origin, step by
// step, in the sensors' own units.
type Forecast struct {
	Machine     string           `json:"machine"`
	Forecaster  string           `json:"forecaster" doc:"Name of the configured forecaster that it belongs to, such as short"`
	Model       string           `json:"model" doc:"Name of the model version that made it"`
	Origin      time.Time        `json:"origin" doc:"Event time of the newest reading it was made from; of a forecaster with a step of its own, when the newest whole step began"`
	StepSeconds float64          `json:"step_seconds" doc:"Time from one step to the next"`
	Coverage    float64          `json:"coverage" doc:"Share of readings that the band promises to hold, 0.9 for a 90 % band; 0 if there is no band"`
	Sensors     []SensorForecast `json:"sensors"`
}

// A SensorForecast is one sensor's part of a Forecast. All lists are (steps);
// Lower and Upper are empty when the model has no band yet.
type SensorForecast struct {
	Sensor string    `json:"sensor"`
	Values []float64 `json:"values"`
	Lower  []float64 `json:"lower,omitempty"`
	Upper  []float64 `json:"upper,omitempty"`
}

// Steps is the forecast's horizon: how many steps it looks ahead.
func (f Forecast) Steps() int {
	if len(f.Sensors) == 0 {
		return 0
	}
	return len(f.Sensors[0].Values)
}

// TimeOf is the event time of a step, counted from 0 for the first step ahead.
func (f Forecast) TimeOf(step int) time.Time {
	return f.Origin.Add(time.Duration(float64(step+1) * f.StepSeconds * float64(time.Second)))
}

// A Model is one version of a machine's forecasting model, as the folder of
// models holds it.
type Model struct {
	Name        string    `json:"name" doc:"Folder name, model_<machine>_<YYYYMMDD_HHMMSS>"`
	Machine     string    `json:"machine"`
	Forecaster  string    `json:"forecaster" doc:"Name of the configured forecaster that it serves, such as short"`
	Family      string    `json:"family" enum:"ridge,patchtst"`
	Created     time.Time `json:"created"`
	Sensors     []string  `json:"sensors" doc:"Channels, in the model's order"`
	Context     int       `json:"context" doc:"Rows it looks back"`
	Horizon     int       `json:"horizon" doc:"Steps it looks ahead"`
	StepSeconds float64   `json:"step_seconds,omitempty" doc:"Step it was fitted on; absent: the machine's own"`
	Parameters  int       `json:"parameters"`
	TrainedRows int64     `json:"trained_rows,omitempty"`
	Champion    bool      `json:"champion" doc:"Serves its forecaster now"`

	State  ModelState `json:"state" enum:"champion,challenger,retired,refused"`
	Since  time.Time  `json:"since" doc:"When it came into that state"`
	Reason string     `json:"reason,omitempty" doc:"Why it is in that state"`
	By     string     `json:"by,omitempty" doc:"Who decided so"`
}

// A ModelState says what a version is to its machine and forecaster.
type ModelState string

// The states of versions.
const (
	ModelChampion   ModelState = "champion"   // serves
	ModelChallenger ModelState = "challenger" // waits for someone to promote or refuse it
	ModelRetired    ModelState = "retired"    // served, or may stand in for one that served
	ModelRefused    ModelState = "refused"    // was found wanting: never serves unless promoted by hand
)
