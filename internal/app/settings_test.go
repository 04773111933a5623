package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/events"
)

// A configured server is one that runs with a file.
type configured struct {
	*running
	file   string
	level  *slog.LevelVar
	reader *events.Reader
}

const quietPorts = "http: {listen: '127.0.0.1:0', keyed_listen: ''}\nmqtt: {listen: '127.0.0.1:0', websocket: ''}\n"

func startConfigured(t *testing.T, text string) *configured {
	t.Helper()
	dir := t.TempDir()
	c := &configured{file: filepath.Join(dir, "fettle.yaml"), level: new(slog.LevelVar)}
	c.write(t, text)
	cfg, err := config.Load(c.file)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Data.Dir = filepath.Join(dir, "data") // as --data says it
	a, err := New(cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a.Level = c.level
	c.running = runApp(t, a)
	c.reader = a.flow.events.Subscribe(0, events.Filter{Kinds: []fettle.EventKind{fettle.EventSettings}})
	t.Cleanup(func() {
		c.reader.Close()
		c.stop(t)
	})
	return c
}

func (c *configured) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(c.file, []byte(quietPorts+text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// next is the next look at the file that the server tells of.
func (c *configured) next(t *testing.T) fettle.SettingsChange {
	t.Helper()
	event, err := c.reader.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var change fettle.SettingsChange
	if err := json.Unmarshal(event.Data, &change); err != nil {
		t.Fatal(err)
	}
	return change
}

func (c *configured) inForce(setting string) string {
	for _, s := range c.settings.Settings().Settings {
		if s.Name == setting {
			return s.Text
		}
	}
	return "no such setting"
}

// Nobody is asked, nothing restarted: the file is written, and the server runs by
// it, as far as it can.
func TestFileIsFollowed(t *testing.T) {
	c := startConfigured(t, "forecast: {interval: 60s}\n")
	c.write(t, "forecast: {interval: 300s}\nlog: {level: debug}\nalarm: {high_above: 3}\nunits: {flow: l/min}\ningest: {max_machines: 7}\n")
	change := c.next(t)
	var told []string
	for _, one := range change.Changes {
		if one.Setting != "units" {
			told = append(told, fmt.Sprintf("%s %s->%s %v", one.Setting, one.Old, one.New, one.Live))
		}
	}
	if got, want := strings.Join(told, ", "), "ingest.max_machines 10000->7 false, forecast.interval 60s->5m true, alarm.high_above 2->3 true, log.level info->debug true"; got != want || change.Error != "" {
		t.Errorf("told %s, error %q\nwant %s", got, change.Error, want)
	}
	if interval, _ := c.pace(); interval != 5*time.Minute {
		t.Errorf("forecasts every %v", interval)
	}
	if c.level.Level() != slog.LevelDebug || c.unit("flow") != "l/min" || c.unit("tempA") != "°C" {
		t.Errorf("level %v, units %v", c.level.Level(), c.current().Units)
	}
	if got := c.inForce("ingest.max_machines"); got != "10000" {
		t.Errorf("what needs a restart is %s already", got)
	}
	if got := c.inForce("data.dir"); got != c.cfg.Data.Dir {
		t.Errorf("what the command line said is forgotten: %s", got)
	}
	if waiting := c.settings.Settings().Waiting; len(waiting) != 1 || waiting[0].Setting != "ingest.max_machines" {
		t.Errorf("after a restart: %+v", waiting)
	}
	if part := c.settings.part(); !strings.HasSuffix(part.Detail, "after a restart: ingest.max_machines") {
		t.Errorf("the status says %s", part.Detail)
	}
}

func TestWrongFileChangesNothing(t *testing.T) {
	c := startConfigured(t, "forecast: {interval: 300s}\n")
	c.write(t, "forecast: {interval: soon}\nlog: {level: debug}\n")
	change := c.next(t)
	if !strings.Contains(change.Error, `forecast.interval is "soon"; expected a duration with its unit`) || len(change.Changes) > 0 {
		t.Errorf("told %+v", change)
	}
	if interval, _ := c.pace(); interval != 5*time.Minute || c.level.Level() != slog.LevelInfo {
		t.Errorf("in force: forecasts every %v, log %v", interval, c.level.Level())
	}
	if part := c.settings.part(); !strings.Contains(part.Detail, "is wrong, the old settings go on") {
		t.Errorf("the status says %s", part.Detail)
	}
	if err := os.Remove(c.file); err != nil {
		t.Fatal(err)
	}
	if change := c.next(t); change.Error == "" {
		t.Errorf("a file that is gone: %+v", change)
	}
	c.write(t, "forecast: {interval: 120s}\n")
	if change := c.next(t); change.Error != "" || len(change.Changes) != 1 || c.inForce("forecast.interval") != "120s" && c.inForce("forecast.interval") != "2m" {
		t.Errorf("right again: %+v, in force %s", change, c.inForce("forecast.interval"))
	}
}

func TestServerWithoutFileSaysSo(t *testing.T) {
	server := startApp(t, settings(t.TempDir()))
	defer server.stop(t)
	if change := server.settings.Reload(); !strings.Contains(change.Error, "without a configuration file") {
		t.Errorf("told %+v", change)
	}
}

// In a silence an alarm is raised as ever, and nobody is told until it is over.
func TestSilencedMachineIsLeftInPeace(t *testing.T) {
	server := startApp(t, settings(t.TempDir()))
	defer server.stop(t)
	made, err := silences{server.App}.Silence(fettle.Silence{Machine: "press", Kind: fettle.SilenceService, Until: time.Now().Add(time.Hour), Why: "new bearing", By: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	if !server.silenced("press") || server.silenced("lathe") {
		t.Error("the wrong machine is silenced")
	}
	at := time.Now().UTC()
	if err := server.Submit(t.Context(), []fettle.Reading{{Machine: "press", Time: at, Values: []fettle.Value{{Sensor: "vib", Value: 1}}}}); err != nil {
		t.Fatal(err)
	}
	if m := server.machines(); len(m) != 1 || m[0].Silence == nil || m[0].Silence.Why != "new bearing" {
		t.Errorf("machines %+v", m)
	}
	if got := server.flow.judge.Quarantined("press", made.From, made.Until); len(got) != 1 || got[0] != made.Interval() {
		t.Errorf("not learned from: %v", got)
	}
	if _, err := (silences{server.App}).EndSilence(made.ID, "Ben"); err != nil {
		t.Fatal(err)
	}
	if server.silenced("press") {
		t.Error("still silenced")
	}
	var told []string
	list, err := server.flow.events.Wait(t.Context(), 0, events.Filter{Kinds: []fettle.EventKind{fettle.EventSilence}}, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		told = append(told, e.Machine)
	}
	if strings.Join(told, " ") != "press press" {
		t.Errorf("told of silences of %v", told)
	}
}
