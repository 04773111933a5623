//go:build browser

package web

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle"
)

// A plant stands for everything behind the page: a few machines, and the part
// of the JSON API that the scripts use, in the API's shapes. The test moves it
// by hand.
type plant struct {
	*httptest.Server
	mu       sync.Mutex
	machines []fettle.Machine
	rows     map[string][]fettle.Reading
	alarms   []fettle.Alarm
	events   []fettle.Event
	changed  chan struct{} // closed and replaced at every event
	buffered bool          // a proxy between here and the browser holds streams back
	streams  int           // streams that were asked for
	answers  []string      // bodies of acknowledgements
	fail     bool
}

var sensors = []string{"current", "tempA", "tempB", "vibration"}

func unitOf(sensor string) string {
	return map[string]string{"current": "A", "tempA": "°C", "tempB": "°C", "vibration": "mm/s"}[sensor]
}

// newPlant starts with machines that have half an hour of readings behind them.
func newPlant(t *testing.T, names ...string) *plant {
	p := &plant{rows: map[string][]fettle.Reading{}, changed: make(chan struct{})}
	for i, name := range names {
		p.join(name, i)
	}
	site, err := New(Deps{Machines: p.listMachines, Alarms: p.listAlarms, Unit: unitOf, Verdict: p.verdict, Ahead: p.ahead, Version: "test", Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", site.Handler())
	p.api(mux)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// join adds a machine with half an hour behind it; number 0 is sick, and was
// silent for a while.
func (p *plant) join(name string, number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := time.Now().UTC().Truncate(2 * time.Second)
	random := rand.New(rand.NewPCG(7, uint64(number)))
	for at := end.Add(-30 * time.Minute); !at.After(end); at = at.Add(2 * time.Second) {
		if number == 0 && at.Sub(end) > -110*time.Second && at.Sub(end) < -80*time.Second {
			continue
		}
		p.rows[name] = append(p.rows[name], fettle.Reading{Machine: name, Time: at, Values: valuesAt(at, end, number == 0, random)})
	}
	p.machines = append(p.machines, p.summary(name))
	p.emit(fettle.EventReadings, name, p.rows[name][len(p.rows[name])-1])
}

// valuesAt is a machine with load cycles; a sick one warms up at the end.
func valuesAt(at, end time.Time, sick bool, random *rand.Rand) []fettle.Value {
	s := float64(at.Unix())
	load := 0.5 + 0.5*math.Sin(s/45)
	heat := 0.0
	if since := at.Sub(end.Add(-75 * time.Second)).Seconds(); sick && since > 0 {
		heat = 14 * (1 - math.Exp(-since/60))
	}
	n := random.NormFloat64
	return []fettle.Value{
		{Sensor: "current", Value: 12.4 + 1.6*load + 0.12*n()}, {Sensor: "tempA", Value: 61 + 2.2*math.Sin(s/70) + heat + 0.15*n()},
		{Sensor: "tempB", Value: 58 + 2*math.Sin(s/70+0.4) + heat/3 + 0.15*n()}, {Sensor: "vibration", Value: 4.4 + 0.5*load + 0.09*n()},
	}
}

func (p *plant) summary(name string) fettle.Machine {
	rows := p.rows[name]
	last := rows[len(rows)-1]
	return fettle.Machine{
		Name: name, State: fettle.StateNormal, Sensors: sensors, Rows: int64(len(rows)), First: rows[0].Time, Last: last.Time,
		Arrived: time.Now(), StepSeconds: 2, Latest: last.Values, Score: 0.6, Sentence: "All sensors are as usual.",
		Model: "model_" + name + "_20260610_020000",
	}
}

// raise opens an alarm, as the alarm room would.
func (p *plant) raise(machine string, priority fettle.Priority, sentence string, causes ...fettle.Cause) fettle.Alarm {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.index(machine)
	last := p.machines[i].Last
	a := fettle.Alarm{
		ID: uint64(len(p.alarms) + 1), Machine: machine, Cause: causes[0].Sensor, Priority: priority, State: fettle.Raised,
		RaisedAt: last.Add(-50 * time.Second), Score: 2.3, PeakScore: 2.6, Causes: causes, Sentence: sentence,
	}
	p.alarms = append(p.alarms, a)
	m := &p.machines[i]
	m.State, m.Score, m.Sentence, m.Alarms = fettle.StateAlarm, 2.3, sentence, []fettle.Alarm{a}
	slices.SortStableFunc(p.machines, func(a, b fettle.Machine) int { return a.State.Rank() - b.State.Rank() })
	p.emit(fettle.EventAlarm, machine, a)
	return a
}

// step lets one machine send its next reading.
func (p *plant) step(machine string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows := p.rows[machine]
	last := rows[len(rows)-1]
	next := fettle.Reading{Machine: machine, Time: last.Time.Add(2 * time.Second), Values: slices.Clone(last.Values)}
	for i := range next.Values {
		next.Values[i].Value *= 1.001
	}
	p.rows[machine] = append(rows, next)
	m := &p.machines[p.index(machine)]
	m.Last, m.Latest, m.Rows, m.Arrived = next.Time, next.Values, m.Rows+1, time.Now()
	p.emit(fettle.EventReadings, machine, next)
	p.emit(fettle.EventVerdict, machine, fettle.Verdict{Machine: machine, Time: next.Time, Score: m.Score})
}

func (p *plant) index(machine string) int {
	return slices.IndexFunc(p.machines, func(m fettle.Machine) bool { return m.Name == machine })
}

func (p *plant) emit(kind fettle.EventKind, machine string, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	p.events = append(p.events, fettle.Event{Number: uint64(len(p.events) + 1), Time: time.Now(), Kind: kind, Machine: machine, Data: raw})
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *plant) listMachines() []fettle.Machine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.machines)
}

func (p *plant) listAlarms(state, machine string, limit int) []fettle.Alarm {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []fettle.Alarm
	for _, a := range p.alarms {
		if (machine == "" || a.Machine == machine) && (state == "all" || state == "open" && a.Open() || state == "unanswered" && a.Unanswered()) {
			list = append(list, a)
		}
	}
	return list
}

func (p *plant) verdict(machine string) (fettle.Verdict, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.machines[p.index(machine)]
	v := fettle.Verdict{Machine: machine, Time: m.Last, Score: m.Score}
	if len(m.Alarms) > 0 {
		v.Causes = m.Alarms[0].Causes
	}
	return v, true
}

// ahead tells what forecasts there are: a machine has them as soon as it has a
// model.
func (p *plant) ahead(_ context.Context, machine string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.machines[p.index(machine)].Model == "" {
		return nil
	}
	return []string{"short", "hour"}
}

// model gives a machine its model; "" takes it away.
func (p *plant) model(machine, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machines[p.index(machine)].Model = name
	p.emit(fettle.EventModel, machine, fettle.Model{Name: name, Machine: machine})
}

// forecast goes on from the last reading, with a band that widens.
func (p *plant) forecast(machine, forecaster string) fettle.Forecast {
	rows := p.rows[machine]
	last := rows[len(rows)-1]
	f := fettle.Forecast{Machine: machine, Forecaster: forecaster, Model: "ridge", Origin: last.Time, StepSeconds: 2, Coverage: 0.9}
	if forecaster == "hour" {
		f.Origin, f.StepSeconds = last.Time.Truncate(time.Minute).Add(-time.Minute), 360
	}
	for _, v := range last.Values {
		s := fettle.SensorForecast{Sensor: v.Sensor}
		slope := v.Value - rows[len(rows)-10].Values[slices.Index(sensors, v.Sensor)].Value
		for k := 1; k <= 10; k++ {
			y, half := v.Value+slope*float64(k)/12, 0.01*v.Value*math.Sqrt(float64(k))
			s.Values, s.Lower, s.Upper = append(s.Values, y), append(s.Lower, y-half), append(s.Upper, y+half)
		}
		f.Sensors = append(f.Sensors, s)
	}
	return f
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(body)
}

func (p *plant) api(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/machines/{machine}/readings", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		rows := p.rows[r.PathValue("machine")]
		n, _ := strconv.Atoi(r.URL.Query().Get("last"))
		rows = rows[max(0, len(rows)-n):]
		var times []time.Time
		columns := map[string][]float64{}
		for _, row := range rows {
			times = append(times, row.Time)
			for _, v := range row.Values {
				columns[v.Sensor] = append(columns[v.Sensor], v.Value)
			}
		}
		answer(w, map[string]any{"machine": r.PathValue("machine"), "times": times, "sensors": columns})
	})
	mux.HandleFunc("GET /api/v1/machines/{machine}/forecast", func(w http.ResponseWriter, r *http.Request) {
		forecaster := r.URL.Query().Get("forecaster")
		if !slices.Contains(p.ahead(r.Context(), r.PathValue("machine")), forecaster) {
			http.NotFound(w, r)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		answer(w, p.forecast(r.PathValue("machine"), forecaster))
	})
	mux.HandleFunc("GET /api/v1/machines/{machine}/verdicts", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		m := p.machines[p.index(r.PathValue("machine"))]
		random, verdicts := rand.New(rand.NewPCG(3, uint64(len(m.Name)))), []fettle.Verdict{}
		for i := range 150 {
			verdicts = append(verdicts, fettle.Verdict{Machine: m.Name, Score: 0.55 + (m.Score-0.55)*math.Pow(float64(i)/150, 3) + 0.1*random.Float64()})
		}
		answer(w, map[string]any{"verdicts": verdicts})
	})
	mux.HandleFunc("GET /api/v1/alarms", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		answer(w, map[string]any{"alarms": p.listAlarms(q.Get("state"), q.Get("machine"), 0)})
	})
	mux.HandleFunc("POST /api/v1/alarms/{id}/acknowledge", p.acknowledge)
	mux.HandleFunc("POST /api/v1/alarms/{id}/accept", p.acknowledge)
	mux.HandleFunc("POST /api/v1/machines/{machine}/silences", p.silence)
	mux.HandleFunc("DELETE /api/v1/silences/{id}", p.endSilence)
	mux.HandleFunc("GET /api/v1/events", p.serveEvents)
}

func (p *plant) silence(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var body struct{ For, Kind, Why, By string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.answers = append(p.answers, fmt.Sprintf("silence for %s, %s, why %q by %q", body.For, body.Kind, body.Why, body.By))
	length, _ := time.ParseDuration(body.For)
	s := fettle.Silence{ID: 5, Machine: r.PathValue("machine"), Kind: fettle.SilenceKind(body.Kind), From: time.Now(), Until: time.Now().Add(length), Why: body.Why, By: body.By}
	p.machines[p.index(s.Machine)].Silence = &s
	p.emit(fettle.EventSilence, s.Machine, s)
	answer(w, s)
}

func (p *plant) endSilence(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range p.machines {
		if m.Silence != nil && fmt.Sprint(m.Silence.ID) == r.PathValue("id") {
			p.machines[i].Silence = nil
			p.emit(fettle.EventSilence, m.Name, *m.Silence)
			answer(w, *m.Silence)
		}
	}
}

func (p *plant) acknowledge(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"status":503,"detail":"the disk is full"}`)
		return
	}
	var body struct{ By, Note string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id, _ := strconv.Atoi(r.PathValue("id"))
	p.answers = append(p.answers, fmt.Sprintf("%d by %q note %q", id, body.By, body.Note))
	now, a := time.Now(), &p.alarms[id-1]
	if strings.HasSuffix(r.URL.Path, "/accept") {
		a.AcceptedBy, a.ClearedAt = body.By, &now
	}
	a.State, a.AcknowledgedAt, a.AcknowledgedBy, a.Note = fettle.Acknowledged, &now, body.By, body.Note
	p.machines[p.index(a.Machine)].Alarms = []fettle.Alarm{*a}
	if a.AcceptedBy != "" {
		a.State, p.machines[p.index(a.Machine)].Alarms = fettle.Cleared, nil
	}
	p.emit(fettle.EventAlarm, a.Machine, *a)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(*a)
}

// serveEvents is both ways into the log.
func (p *plant) serveEvents(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	wanted := func(e fettle.Event) bool {
		return slices.Contains(strings.Split(q.Get("kinds"), ","), string(e.Kind)) && (q.Get("machine") == "" || q.Get("machine") == e.Machine)
	}
	after, err := strconv.Atoi(q.Get("after"))
	next := func() (events []fettle.Event, last int, more <-chan struct{}) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			after, err = len(p.events), nil
		}
		for _, e := range p.events[min(after, len(p.events)):] {
			if wanted(e) {
				events = append(events, e)
			}
		}
		return events, len(p.events), p.changed
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		wait, _ := time.ParseDuration(q.Get("wait"))
		deadline := time.After(wait)
		events, last, more := next()
		for len(events) == 0 && wait > 0 {
			select {
			case <-more:
				events, last, more = next()
				continue
			case <-deadline:
			case <-r.Context().Done():
			}
			break
		}
		if events == nil {
			events = []fettle.Event{}
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"events": events, "last": last})
		return
	}
	p.mu.Lock()
	p.streams++
	buffered := p.buffered
	p.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	flush := func() {
		if !buffered {
			w.(http.Flusher).Flush()
		}
	}
	fmt.Fprint(w, ": hello\n\n")
	flush()
	for {
		events, last, more := next()
		after = last
		for _, e := range events {
			raw, _ := json.Marshal(e)
			fmt.Fprintf(w, "event: %s\nid: %d\ndata: %s\n\n", e.Kind, e.Number, raw)
		}
		flush()
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}
