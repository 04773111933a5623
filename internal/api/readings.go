package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"fettle"
)

// maxValues bounds the numbers in one answer that is held in memory; a machine
// with thousands of sensors reaches it before the limit on rows.
const maxValues = 4_000_000

func (a *API) addReadings() {
	op := get("/machines/{machine}/readings", "get-readings", tagMachines, "A machine's readings, as columns in JSON, or streamed as CSV, line protocol or Parquet")
	op.Description = fmt.Sprintf("JSON holds at most %d rows; CSV (by Accept: text/csv or format=csv), line protocol (format=line) and Parquet (format=parquet) have no limit. In the header of CSV a sensor that begins like a formula (= + - @) has an apostrophe before it; line protocol and Parquet have the tags too. "+
		"With points=N a range of any length (from, to; without them all there is) answers with at most N points and says at which resolution.", maxRows)
	op.Responses = returns(content{
		"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{a.schemaOf(columns{}), a.schemaOf(points{})}}},
		"text/csv":         {Schema: &huma.Schema{Type: huma.TypeString}},
		"text/plain":       {Schema: &huma.Schema{Type: huma.TypeString}},
		parquetType:        {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	})
	add(a, Read, op, a.getReadings)
}

type readingsQuery struct {
	MachinePath
	Stretch
	Sensors []string `query:"sensors" doc:"Only these sensors, with commas between them"`
	Points  int      `query:"points" minimum:"1" maximum:"10000" doc:"At most so many points: readings as they are if they are no more, else min, max and mean over equal pieces of time"`
	Format  string   `query:"format" enum:"json,csv,line,parquet" doc:"json, csv, line or parquet, whatever Accept says"`
	Accept  string   `header:"Accept" hidden:"true"`
}

// columns is a stretch of readings in JSON: a list for each sensor, as long as
// the list of times.
type columns struct {
	Machine string           `json:"machine"`
	Rows    int              `json:"rows"`
	Times   []time.Time      `json:"times" doc:"Event times, ascending"`
	Sensors bySensor[floats] `json:"sensors" doc:"A list for each sensor; null where it was silent"`
}

func (a *API) getReadings(_ context.Context, in *readingsQuery) (*huma.StreamResponse, error) {
	info, found := a.Readings.Info(in.Machine)
	if !found {
		return nil, unknownMachine(in.Machine)
	}
	sensors := info.Sensors
	if len(in.Sensors) > 0 {
		sensors = in.Sensors
	}
	for _, sensor := range sensors {
		if !slices.Contains(info.Sensors, sensor) {
			return nil, fettle.BadField("unknown sensor", "query.sensors", sensor, "sensors of the machine, as GET /api/v1/machines/{machine} lists them")
		}
	}
	if in.Points > 0 {
		return a.getPoints(in, sensors)
	}
	from, to, last, err := in.resolve()
	if err != nil {
		return nil, err
	}
	rows := func(yield func(fettle.Reading) error) error {
		return a.eachReading(in.Machine, from, to, last, yield)
	}
	if f := in.stream(); f != nil {
		return &huma.StreamResponse{Body: func(ctx huma.Context) { a.sendStream(ctx, *f, in.Machine, sensors, rows) }}, nil
	}
	c, err := collect(in.Machine, sensors, rows)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		_, w := humago.Unwrap(ctx)
		w.Header().Add("Vary", "Accept")
		writeJSON(w, http.StatusOK, c)
	}}, nil
}

// eachReading yields the newest last rows before to, or, with last 0, all rows
// from from on and before to.
func (a *API) eachReading(machine string, from, to time.Time, last int, yield func(fettle.Reading) error) error {
	if last == 0 {
		if to.IsZero() {
			to = nowOn
		}
		return a.Readings.Range(machine, from, to, yield)
	}
	until := to
	if !to.IsZero() {
		until = to.Add(-time.Microsecond) // Last includes its bound
	}
	rows, err := a.Readings.Last(machine, until, last)
	for _, r := range rows {
		if err == nil {
			err = yield(r)
		}
	}
	return err
}

// collect makes columns of rows.
func collect(machine string, sensors []string, rows func(func(fettle.Reading) error) error) (columns, error) {
	c := columns{Machine: machine, Times: []time.Time{}}
	values := make([]floats, len(sensors))
	err := rows(func(r fettle.Reading) error {
		if c.Rows == maxRows || c.Rows*len(sensors) >= maxValues {
			return &fettle.Error{Kind: fettle.Invalid, Reason: "too many rows", Err: fmt.Errorf(
				"the range holds more than %d rows or %d values, the limit of one answer; narrow it with from and to, ask for fewer sensors, or take format=csv, which has no limit",
				maxRows, maxValues)}
		}
		c.Rows++
		c.Times = append(c.Times, r.Time.UTC())
		for i, sensor := range sensors {
			v, said := r.Value(sensor)
			if !said {
				v = math.NaN()
			}
			values[i] = append(values[i], v)
		}
		return nil
	})
	for i, sensor := range sensors {
		c.Sensors = append(c.Sensors, sensorEntry[floats]{sensor, values[i]})
	}
	return c, err
}

func wantsCSV(accept string) bool {
	r := &http.Request{Header: http.Header{"Accept": {accept}}}
	return names(r, "text/csv") && accepts(r, "text/csv") >= accepts(r, "application/json")
}
