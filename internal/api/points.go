package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"fettle"
)

// points is a stretch of readings drawn together to no more points than asked
// for.
type points struct {
	Machine     string           `json:"machine"`
	Resolution  string           `json:"resolution" enum:"raw,1m,1h" doc:"What the points were made from: readings, or what was kept of each minute or hour"`
	StepSeconds float64          `json:"step_seconds" doc:"Width of a point; 0: each point is a reading as it is"`
	Times       []time.Time      `json:"times" doc:"Begin of each point, ascending; points without a reading are left out"`
	Sensors     bySensor[spread] `json:"sensors" doc:"What each sensor did; null where it was silent"`
}

// spread is what one sensor did in each point.
type spread struct {
	Min  floats `json:"min"`
	Max  floats `json:"max"`
	Mean floats `json:"mean"`
}

// getPoints answers for a range of any length with at most so many points.
func (a *API) getPoints(in *readingsQuery, sensors []string) (*huma.StreamResponse, error) {
	if in.Last > 0 {
		return nil, fettle.BadField("points and last", "query.points", strconv.Itoa(in.Points), "points or last, not both")
	}
	if in.Format == "csv" {
		return nil, fettle.BadField("points as csv", "query.format", in.Format, "json with points, or no points")
	}
	p, err := a.Readings.Points(in.Machine, sensors, in.From.Time, in.To.Time, in.Points)
	if err != nil {
		return nil, err
	}
	answer := points{Machine: in.Machine, Resolution: p.Resolution.String(), StepSeconds: p.Step.Seconds(), Times: p.Times}
	for i, sensor := range sensors {
		answer.Sensors = append(answer.Sensors, sensorEntry[spread]{sensor, spread{p.Min[i], p.Max[i], p.Mean[i]}})
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		_, w := humago.Unwrap(ctx)
		w.Header().Add("Vary", "Accept")
		writeJSON(w, http.StatusOK, answer)
	}}, nil
}
