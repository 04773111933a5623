package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fettle"
)

// addV1Routes adds the API to build on. Lists come inside an object, so that
// something can be added beside them; times are RFC 3339 in UTC; what goes
// wrong is a Problem.
func (a *API) addV1Routes() {
	a.addMachines()
	a.addReadings()
	a.addSending()
	a.addForecasts()
	a.addAlarms()
	a.addSilences()
	a.addNotices()
	a.addEvents()
	a.addServer()
	a.addSettings()
	a.addKeeping()
	a.addKeys()
	a.addUsers()
	a.addModels()
	a.addTraining()
}

// maxRows bounds the rows of one answer that is held in memory.
const maxRows = 100_000

// smallBody bounds a body that only a person's few words are in.
const smallBody = 16 << 10

// MachinePath is the part of the input that names a machine. It and Stretch are
// exported for huma, which reads embedded parts only then.
type MachinePath struct {
	Machine string `path:"machine" doc:"Name of the machine"`
}

// mustExist is NotFound unless the machine has readings or a model.
func (a *API) mustExist(machine string) error {
	if _, found := a.Readings.Info(machine); found {
		return nil
	}
	if slices.ContainsFunc(a.Models(), func(m fettle.Model) bool { return m.Machine == machine }) {
		return nil
	}
	return unknownMachine(machine)
}

func unknownMachine(machine string) error {
	return &fettle.Error{Kind: fettle.NotFound, Reason: "unknown machine", Err: errorString("no machine " + strconv.Quote(fettle.Shorten(machine)))}
}

type errorString string

func (e errorString) Error() string { return string(e) }

// A Stretch is the part of the input that cuts a piece out of a machine's time.
type Stretch struct {
	From moment `query:"from" doc:"Event time of the first row: RFC 3339, or the time since 1970 in seconds (milliseconds, microseconds and nanoseconds are told by their size)"`
	To   moment `query:"to" doc:"Event time before which the last row lies, as from; absent: the newest"`
	Last int    `query:"last" minimum:"1" maximum:"100000" doc:"The newest so many rows, of those before to if that is given too. Without from and last: 1000"`
}

// resolve turns the input into a range of time and a number of rows, 0 meaning
// all of the range.
func (s Stretch) resolve() (from, to time.Time, last int, err error) {
	switch {
	case s.Last > 0 && !s.From.IsZero():
		return from, to, 0, fettle.BadField("from and last", "query.last", strconv.Itoa(s.Last), "from or last, not both")
	case s.Last == 0 && s.From.IsZero():
		return from, s.To.Time, 1000, nil
	default:
		return s.From.Time, s.To.Time, s.Last, nil
	}
}

// A moment is a time as people write it into an address.
type moment struct{ time.Time }

// UnmarshalText reads RFC 3339, or the time since 1970 with its unit told by
// its size, as in sensor messages.
func (m *moment) UnmarshalText(text []byte) error {
	s := string(text)
	if t, err := time.Parse(time.RFC3339, strings.Replace(s, " ", "+", 1)); err == nil { // an address turns a bare + into a space
		m.Time = t.UTC()
		return nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0 && n < 9e18) {
		return errorString("expected a time such as 2025-11-25T04:20:00Z or 1764044400")
	}
	switch {
	case n < 1e11:
		m.Time = time.UnixMicro(int64(n * 1e6)).UTC()
	case n < 1e14:
		m.Time = time.UnixMicro(int64(n * 1e3)).UTC()
	case n < 1e17:
		m.Time = time.UnixMicro(int64(n)).UTC()
	default:
		m.Time = time.UnixMicro(int64(n / 1e3)).UTC()
	}
	return nil
}

// Schema tells huma that it is text.
func (moment) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{"2025-11-25T04:20:00Z", "1764044400"}}
}

// nowOn is the end of a range that has none: later than every reading.
var nowOn = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func get(path, id, tag, summary string) huma.Operation {
	return huma.Operation{Method: http.MethodGet, Path: "/api/v1" + path, OperationID: id, Tags: []string{tag}, Summary: summary}
}

func (a *API) addMachines() {
	add(a, Read, get("/machines", "list-machines", tagMachines, "All machines, the one that needs people most first"),
		func(context.Context, *struct{}) (*answer[machineList], error) {
			list := []fettle.Machine{}
			for _, m := range a.Machines() {
				list = append(list, tidy(m))
			}
			return &answer[machineList]{machineList{list}}, nil
		})
	add(a, Read, get("/machines/{machine}", "get-machine", tagMachines, "One machine"),
		func(_ context.Context, in *MachinePath) (*answer[machineDetail], error) {
			for _, m := range a.Machines() {
				if m.Name == in.Machine {
					return &answer[machineDetail]{machineDetail{Machine: tidy(m), Units: a.unitsOf(m.Sensors)}}, nil
				}
			}
			return nil, unknownMachine(in.Machine)
		})
}

type machineList struct {
	Machines []fettle.Machine `json:"machines" doc:"The one that needs people most first"`
}

// machineDetail is a machine with what only its own page needs.
type machineDetail struct {
	fettle.Machine
	Units map[string]string `json:"units" doc:"Units of its sensors, where they are known"`
}

// tidy makes lists that are never null.
func tidy(m fettle.Machine) fettle.Machine {
	if m.Sensors == nil {
		m.Sensors = []string{}
	}
	if m.Latest == nil {
		m.Latest = []fettle.Value{}
	}
	return m
}

func (a *API) unitsOf(sensors []string) map[string]string {
	units := map[string]string{}
	for _, sensor := range sensors {
		if unit := a.Unit(sensor); unit != "" {
			units[sensor] = unit
		}
	}
	return units
}
