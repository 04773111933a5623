package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/train"
)

// parts passes on what the server says of its parts, but for those that a check
// of its own looks at. So a part that is added later is told of by itself.
func parts(_ context.Context, f *facts) []Finding {
	if f.status == nil {
		return nil
	}
	own := map[string]bool{"broker": true, "http": true, "tunnel": true, "models": true, "training": true, "alarms": true}
	advice := map[string]string{
		"ingest":        "/api/v1/rejected has the refused messages with what is wrong in each; a full disk refuses all",
		"readings":      "see the lines of machines; `fettle check` reads everything and compares",
		"influx follow": "look at influx.follow.url, org, bucket and token (it must be allowed to read), and whether InfluxDB runs there; it goes on from where it was",
		"influx mirror": "look at influx.mirror.url, org, bucket and token (it must be allowed to write), and whether InfluxDB runs there; what waits is sent later",
		"verdict":       "machines are judged later than they send: see the line processor",
	}
	var found []Finding
	for _, p := range f.status.Parts {
		if own[p.Name] {
			continue
		}
		finding := Finding{Check: p.Name, State: State(p.State), Says: p.Detail}
		if finding.State == Warning || finding.State == Error {
			finding.Do = advice[p.Name]
			if finding.Do == "" {
				finding.Do = "`fettle logs` may say more"
			}
		}
		found = append(found, finding)
	}
	return found
}

// Bounds of what is listed: lines of machines, and machines that are asked why
// they have no forecast.
const (
	mostMachines = 100
	mostAsked    = 20
)

// workspaces is the old system's "No active workspaces found": whether anything
// has sent within the look-back, and if not, what each machine has and needs.
func workspaces(ctx context.Context, f *facts) []Finding {
	lookback := time.Duration(f.Config.Forecast.Lookback)
	if f.status == nil {
		return one("workspaces", Off, "not known: no server answers", "")
	}
	if len(f.machines) == 0 {
		return one("workspaces", Warning, "No active workspaces found: no machine has sent anything yet",
			fmt.Sprintf("let something send to mqtt://%s, such as `mosquitto_pub -q 1 -t fettle/press-7/readings -m '{\"current\": 12.6}'` or `fettle simulate`; /api/v1/rejected has what was refused", dialable(f.status.Addresses.MQTT)))
	}
	active, since := 0, f.Now().Add(-lookback)
	for _, m := range f.machines {
		if m.Arrived != nil && m.Arrived.After(since) {
			active++
		}
	}
	if active > 0 {
		return one("workspaces", OK, fmt.Sprintf("%d of %d machines have sent within %s (forecast.lookback)", active, len(f.machines), ago(lookback)), "")
	}
	says := fmt.Sprintf("No active workspaces found: none of %d machines has sent anything within %s (forecast.lookback)", len(f.machines), ago(lookback))
	for _, m := range f.machines[:min(len(f.machines), 3)] {
		if lack := f.lacks(ctx, m); lack != "" {
			says += "; " + m.Name + ": " + lack
		}
	}
	return one("workspaces", Warning, says, "start what sends for them; it publishes to mqtt://"+dialable(f.status.Addresses.MQTT)+", and /api/v1/rejected has what was refused")
}

// lacks says what a machine has and needs for a forecast; empty if it has one.
func (f *facts) lacks(ctx context.Context, m api.MachineStatus) string {
	var forecast json.RawMessage
	err := f.Ask(ctx, "/api/v1/machines/"+url.PathEscape(m.Name)+"/forecast", &forecast)
	if err == nil {
		return ""
	}
	return "no forecast: " + err.Error()
}

// machines has a line for each machine, with its last reading.
func machines(ctx context.Context, f *facts) []Finding {
	var found []Finding
	asked := 0
	for _, m := range f.machines[:min(len(f.machines), mostMachines)] {
		finding := Finding{Check: "machine " + m.Name, State: OK, Says: "last reading " + since(f.Now(), m.Last)}
		if m.Model != "" {
			finding.Says += ", forecast by " + m.Model
		} else if f.status != nil && asked < mostAsked {
			asked++
			if lack := f.lacks(ctx, m); lack != "" {
				finding.Says += ", " + lack
			}
		}
		if m.State == fettle.StateNoData {
			finding.State, finding.Do = Warning, "look at its sensor, its gateway and the way to mqtt.listen"
			if m.StepSeconds > 0 {
				finding.Says += fmt.Sprintf("; one every %s is usual", ago(time.Duration(m.StepSeconds*float64(time.Second))))
			}
		}
		found = append(found, finding)
	}
	if more := len(f.machines) - mostMachines; more > 0 {
		found = append(found, Finding{"machines", OK, fmt.Sprintf("and %d more, which `fettle status --json` lists", more), ""})
	}
	return found
}

func since(now, last time.Time) string {
	if last.IsZero() {
		return "never"
	}
	at := last.UTC().Format(time.RFC3339)
	if now.Before(last) {
		return at
	}
	return ago(now.Sub(last)) + " ago (" + at + ")"
}

// models tells what is loaded, and names each folder that cannot be used.
func models(_ context.Context, f *facts) []Finding {
	if f.modelsErr != nil {
		return one("models", Error, fmt.Sprintf("the folder of models cannot be read: %v", f.modelsErr), "look at "+f.Config.Data.Models()+" and its rights")
	}
	if f.silent != nil || f.folder != nil {
		return one("models", Off, "not known: see the line server", "")
	}
	found := one("models", OK, fmt.Sprintf("%d versions can be used", f.models), "")
	for _, p := range f.problems[:min(len(f.problems), mostMachines)] {
		found = append(found, Finding{"model " + p.Name, Warning, "cannot be used: " + p.Reason, "repair it, or take it out of " + f.Config.Data.Models() + "; `fettle model import` says more about a folder from elsewhere"})
	}
	return found
}

// training tells what runs, and when the next one comes.
func training(_ context.Context, f *facts) []Finding {
	schedule := f.Config.Training.Schedule
	next := "only by hand and by drift (training.schedule is empty)"
	if at := train.Comes(schedule, f.Now()); schedule != "" && !at.IsZero() {
		next = "the next by schedule at " + at.Format(time.RFC3339)
	}
	if f.status == nil {
		return one("training", Off, "none runs without a server; "+next, "")
	}
	running, waiting := f.trained()
	says := fmt.Sprintf("%d wait", waiting)
	if len(running) > 0 {
		says = strings.Join(running, ", ") + "; " + says
	} else {
		says = "none runs, " + says
	}
	return one("training", OK, says+"; "+next, "")
}

// trained lists the trainings that run, and counts those that wait.
func (f *facts) trained() (running []string, waiting int) {
	for _, t := range f.trainings {
		if t.State == fettle.TrainingRunning {
			running = append(running, fmt.Sprintf("training %d of %s runs (%.0f %%)", t.ID, t.Machine, 100*t.Progress.Share()))
		} else {
			waiting++
		}
	}
	return running, waiting
}

// busy is when the server's own work counts as high, in percent of one core.
const busy = 80

// processor is the old page's "high CPU": a training that runs, or forecasts
// that come too often.
func processor(_ context.Context, f *facts) []Finding {
	if f.status == nil {
		return nil
	}
	r := f.status.Resources
	running, _ := f.trained()
	says := fmt.Sprintf("the server takes %.0f %% of one core of %d", r.CPUPercent, r.Cores)
	if len(running) > 0 {
		says += "; beside it " + strings.Join(running, ", ") + ", with what nobody else wants of the processor"
	}
	var do []string
	if len(running) > 0 {
		do = append(do, "a training ends by itself; `fettle train pause ID` or `cancel ID` end it now, training.threads: 1 and a training.schedule at night make it less felt")
	}
	if r.CPUPercent < busy {
		if len(do) > 0 {
			return one("processor", OK, says, do[0])
		}
		return one("processor", OK, says, "")
	}
	every := time.Duration(f.Config.Forecast.Interval)
	do = append(do, fmt.Sprintf("forecasts come every %s of a machine's time: forecast.interval: 300s makes them rarer; back-fill and replays end by themselves", ago(every)))
	return one("processor", Warning, says, strings.Join(do, "; "))
}

// often is an interval that makes more forecasts than anybody reads.
const often = 10 * time.Second

// interval tells how often forecasts come.
func interval(_ context.Context, f *facts) []Finding {
	every := time.Duration(f.Config.Forecast.Interval)
	says := "a short forecast of each machine every " + ago(every) + " of its own time (forecast.interval)"
	if every < often {
		return one("interval", Warning, says, "forecast.interval: 60s, or 300s for less load; the server reads it when it starts")
	}
	return one("interval", OK, says, "")
}
