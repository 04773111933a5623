package app

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/api"
	"fettle/internal/readings"
)

// status tells what `docker ps`, log lines and scripts told of the old system:
// every part, in the order in which a reading walks through them.
func (a *App) status() api.Status {
	machines := a.machines()
	s := api.Status{
		Version: a.version, Started: a.started.UTC(), UptimeSeconds: time.Since(a.started).Seconds(), PID: os.Getpid(),
		DataDir: a.cfg.Data.Dir, Addresses: a.Addresses(), Parts: a.parts(machines),
		Machines: make([]api.MachineStatus, len(machines)), Resources: a.resources(), OutsideBrokers: a.outsideStatus(),
	}
	for i, m := range machines {
		s.Machines[i] = a.machineStatus(m)
	}
	return s
}

func (a *App) machineStatus(m fettle.Machine) api.MachineStatus {
	s := api.MachineStatus{Name: m.Name, State: m.State, Last: m.Last, StepSeconds: m.StepSeconds, Model: m.Model}
	if !m.Arrived.IsZero() {
		s.Arrived = &m.Arrived
	}
	if next := a.flow.forecasts.Next(m.Name, fettle.ShortForecaster); !next.IsZero() {
		s.NextForecast = &next
	}
	return s
}

func (a *App) parts(machines []fettle.Machine) []api.Part {
	parts := []api.Part{
		a.brokerPart(), a.outsidePart(), a.gatePart(), a.readingsPart(machines), a.forecastPart(machines), a.verdictPart(machines), a.alarmPart(), a.noticePart(), a.modelPart(), a.trainingPart(),
		{Name: "http", State: api.PartOK, Detail: fmt.Sprintf("on %s, with a key on %s", a.web.address(), orOff(a.web.keyedAddress()))},
		a.tunnels.part(), a.settings.part(),
	}
	return append(parts, a.influxParts()...)
}

func orOff(address string) string {
	if address == "" {
		return "none (off)"
	}
	return address
}

func (a *App) resources() api.Resources {
	disk := a.db.Stats()
	return api.Resources{
		CPUPercent: a.usage.cpu(), ResidentBytes: residentBytes(), HeapBytes: heapBytes(),
		DiskBytes: disk.DiskBytes + a.flow.readings.Files().Bytes, DiskFreeBytes: disk.FreeBytes, Cores: runtime.NumCPU(),
	}
}

func (a *App) brokerPart() api.Part {
	s := a.flow.broker.Stats()
	return api.Part{Name: "broker", State: api.PartOK, Detail: fmt.Sprintf("%d clients, %d messages acknowledged, %d refused, %d lost to slow subscribers, on %s", s.Clients, s.Acknowledged, s.Refused, s.Dropped, a.flow.broker.Addr())}
}

func (a *App) gatePart() api.Part {
	s := a.flow.gate.Stats()
	var refused int64
	for _, n := range s.Refused {
		refused += n
	}
	part := api.Part{
		Name: "ingest", State: api.PartOK,
		Detail: fmt.Sprintf("%d readings stored, %d refused, %d dropped, %d bytes waiting", s.New+s.Merged, refused, s.Dropped, s.QueueBytes),
		Rates:  []api.Rate{{Name: "messages", PerSecond: s.MessagesPerSecond}, {Name: "readings", PerSecond: s.RowsPerSecond}},
	}
	if s.Dropped > 0 {
		part.State = api.PartWarning
	}
	if err := a.db.Trouble(); err != nil {
		part.State, part.Detail = api.PartError, err.Error()
	}
	return part
}

func (a *App) readingsPart(machines []fettle.Machine) api.Part {
	var rows int64
	silent := 0
	for _, m := range machines {
		rows += m.Rows
		if m.State == fettle.StateNoData {
			silent++
		}
	}
	part := api.Part{Name: "readings", State: api.PartOK, Detail: fmt.Sprintf("%d readings of %d machines", rows, len(machines))}
	if ahead := saysAhead(machines, a.now()); ahead != "" {
		part.State = api.PartWarning
		part.Detail += ", " + ahead
	}
	files := a.flow.readings.Files()
	part.Detail += fmt.Sprintf(", %.1f MB in files of closed days", float64(files.Bytes)/1e6)
	if silent > 0 {
		part.State = api.PartWarning
		part.Detail += fmt.Sprintf(", %d without data", silent)
	}
	if files.Lost > 0 {
		part.State = api.PartWarning
		part.Detail += fmt.Sprintf(", %d damaged files set aside (*.damaged)", files.Lost)
	}
	if err := a.db.Damage(); err != nil {
		part.State = api.PartError
		part.Detail += ", " + err.Error()
	}
	if err := a.keeper.Trouble(); err != nil {
		if part.State == api.PartOK {
			part.State = api.PartWarning
		}
		part.Detail += ", closed days wait: " + err.Error()
	}
	return part
}

// aheadOf is how far a machine's newest reading may be ahead of this computer's
// clock before anybody has to know.
const aheadOf = 10 * time.Second

// saysAhead names the machine whose clock is the furthest ahead, and counts them.
func saysAhead(machines []fettle.Machine, now time.Time) string {
	count, most, whose := 0, time.Duration(0), ""
	for _, m := range machines {
		lead := m.Last.Sub(now)
		if lead < aheadOf {
			continue
		}
		count++
		if lead > most {
			most, whose = lead, m.Name
		}
	}
	if count == 0 {
		return ""
	}
	return fmt.Sprintf("%d ahead of this computer's clock and judged when their time has come (%s by %s; set its clock)", count, whose, most.Round(time.Second))
}

func (a *App) forecastPart(machines []fettle.Machine) api.Part {
	s := a.flow.forecasts.Stats()
	with := 0
	for _, m := range machines {
		if m.Model != "" {
			with++
		}
	}
	return api.Part{
		Name: "forecast", State: api.PartOK,
		Detail: fmt.Sprintf("%d of %d machines have a model, %d forecasts made, %d live ones skipped", with, len(machines), s.Made, s.Skipped),
	}
}

func (a *App) verdictPart(machines []fettle.Machine) api.Part {
	learning := 0
	for _, m := range machines {
		if m.State == fettle.StateLearning {
			learning++
		}
	}
	behind := a.flow.awake.len()
	part := api.Part{Name: "verdict", State: api.PartOK, Detail: fmt.Sprintf("%d machines judged, %d learning, %d behind", len(machines)-learning, learning, behind)}
	if behind > len(machines)/2+10 {
		part.State = api.PartWarning
	}
	return part
}

func (a *App) alarmPart() api.Part {
	open := a.flow.alarms.List(alarm.Filter{State: alarm.StateOpen})
	unanswered := len(slices.DeleteFunc(slices.Clone(open), func(a fettle.Alarm) bool { return !a.Unanswered() }))
	return api.Part{Name: "alarms", State: api.PartOK, Detail: fmt.Sprintf("%d open, %d of them unanswered", len(open), unanswered)}
}

func (a *App) modelPart() api.Part {
	part := api.Part{Name: "models", State: api.PartOK, Detail: fmt.Sprintf("%d versions", len(a.models.List()))}
	if problems := a.models.Problems(); len(problems) > 0 {
		part.State = api.PartWarning
		part.Detail += fmt.Sprintf("; %d cannot be used: %s", len(problems), problems[0].Name+": "+problems[0].Reason)
	}
	return part
}

// samples are the counts behind the parts, for /metrics.
func (a *App) samples() []api.Sample {
	files := a.flow.readings.Files()
	gate, broker, forecasts := a.flow.gate.Stats(), a.flow.broker.Stats(), a.flow.forecasts.Stats()
	samples := []api.Sample{
		{Name: "fettle_ingest_readings_total", Value: float64(gate.Rows)},
		{Name: "fettle_ingest_late_readings_total", Value: float64(gate.Late)},
		{Name: "fettle_ingest_dropped_readings_total", Value: float64(gate.Dropped)},
		{Name: "fettle_ingest_queue_bytes", Value: float64(gate.QueueBytes)},
		{Name: "fettle_ingest_commits_total", Value: float64(gate.Commits)},
		{Name: "fettle_broker_clients", Value: float64(broker.Clients)},
		{Name: "fettle_broker_messages_total", Value: float64(broker.Received)},
		{Name: "fettle_broker_acknowledged_total", Value: float64(broker.Acknowledged)},
		{Name: "fettle_broker_refused_total", Value: float64(broker.Refused)},
		{Name: "fettle_broker_dropped_total", Value: float64(broker.Dropped)},
		{Name: "fettle_broker_queue_bytes", Value: float64(broker.Queued)},
		{Name: "fettle_forecasts_total", Value: float64(forecasts.Made)},
		{Name: "fettle_forecasts_skipped_total", Value: float64(forecasts.Skipped)},
		{Name: "fettle_readings_lost_days", Value: float64(files.Lost)},
		{Name: "fettle_machines_behind", Value: float64(a.flow.awake.len())},
	}
	samples = append(samples, a.outsideSamples()...)
	samples = append(samples, a.influxSamples()...)
	samples = append(samples, a.noticeSamples()...)
	for kind, bytes := range files.ByKind {
		samples = append(samples, api.Sample{Name: fmt.Sprintf("fettle_readings_file_bytes{kind=%q}", readings.Kind(kind)), Value: float64(bytes)})
	}
	for reason, n := range gate.Refused {
		samples = append(samples, api.Sample{Name: fmt.Sprintf("fettle_ingest_refused_total{reason=%q}", reason), Value: float64(n)})
	}
	return samples
}
