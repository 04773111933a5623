package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/api"
	"fettle/internal/backup"
	"fettle/internal/config"
	"fettle/internal/events"
	"fettle/internal/plant"
)

// An overheating of a simulated machine becomes one alarm that names a
// temperature, is acknowledged, survives a restart, and clears.
func TestReadingBecomesAlarm(t *testing.T) {
	dir := t.TempDir()
	const history, machine = 6 * time.Hour, "lathe-1-spindle"
	start := time.Now().UTC().Truncate(time.Second).Add(-history - time.Hour)
	machines, err := plant.New(plant.Options{
		Names: []string{machine}, Start: start, Seed: 1,
		Faults: []plant.Fault{{Kind: plant.Overheating, After: history, For: 90 * time.Second, Machine: machine}},
	})
	if err != nil {
		t.Fatal(err)
	}

	server := startApp(t, settings(dir))
	play(t, server.App, machines, start.Add(history+90*time.Second))
	raised := server.waitForAlarm(t, fettle.Raised)
	if raised.Cause != "tempA" && raised.Cause != "tempB" {
		t.Errorf("the alarm blames %s: %s", raised.Cause, raised.Sentence)
	}
	if _, err := server.flow.alarms.Acknowledge(raised.ID, "Ada", "fan is blocked"); err != nil {
		t.Fatal(err)
	}
	if made, found := server.flow.forecasts.Latest(machine, fettle.ShortForecaster); !found || made.Steps() != 10 || made.Coverage != 0.9 {
		t.Errorf("forecast %+v, %v", made.Forecast, found)
	}
	cursor := server.flow.judge.Cursor(machine)
	server.stop(t)

	server = startApp(t, settings(dir))
	if open := server.flow.alarms.OpenOf(machine); len(open) != 1 || open[0].ID != raised.ID || open[0].State != fettle.Acknowledged || open[0].Note != "fan is blocked" {
		t.Errorf("after the restart: %+v", open)
	}
	if got := server.flow.judge.Cursor(machine); got.Before(cursor) {
		t.Errorf("judging went back from %s to %s", cursor, got)
	}
	play(t, server.App, machines, start.Add(history+30*time.Minute))
	server.waitForAlarm(t, fettle.Cleared)
	if all := server.flow.alarms.List(alarm.Filter{}); len(all) == 0 || all[len(all)-1].ID != raised.ID {
		t.Errorf("%d alarms in all, the oldest is not %d", len(all), raised.ID)
	}
	server.stop(t)

	// Whoever was away when the alarm ended hears of it, over a restart too.
	server = startApp(t, settings(dir))
	if got := server.retained(t, "fettle/alarm/"+machine); !strings.Contains(got, `"state":"cleared"`) {
		t.Errorf("retained after the second restart: %s", got)
	}
	server.stop(t)
}

// retained subscribes to a topic with an MQTT client of the barest kind, and
// returns the first message on it.
func (r *running) retained(t *testing.T, topic string) string {
	t.Helper()
	client, err := net.Dial("tcp", r.Addresses().MQTT)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	connect := "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
	subscribe := "\x82" + string(rune(5+len(topic))) + "\x00\x01\x00" + string(rune(len(topic))) + topic + "\x00"
	if _, err := io.WriteString(client, connect+subscribe); err != nil {
		t.Fatal(err)
	}
	_ = client.SetReadDeadline(time.Now().Add(time.Minute))
	var said strings.Builder
	for buffer := make([]byte, 4096); !strings.Contains(said.String(), "}"); {
		n, err := client.Read(buffer)
		if err != nil {
			t.Fatalf("nothing retained on %s: %v", topic, err)
		}
		said.Write(buffer[:n])
	}
	return said.String()
}

// Readings of a clock that jumped ahead must not carry the judge off: the rows
// of the minutes until then would never be judged. The status names the machine.
func TestJudgingDoesNotFollowReadingsAhead(t *testing.T) {
	for _, ahead := range []int{1, 5} {
		server := startApp(t, settings(t.TempDir()))
		start := time.Now().UTC().Truncate(time.Microsecond).Add(-time.Second)
		say := func(at time.Time) {
			t.Helper()
			if err := server.Submit(t.Context(), []fettle.Reading{{Machine: "m", Time: at, Values: []fettle.Value{{Sensor: "a", Value: 1}}}}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 10 {
			say(start.Add(time.Duration(i) * time.Millisecond))
		}
		for i := range ahead {
			say(start.Add(4*time.Minute + time.Duration(i)*time.Millisecond))
		}
		for i := range 3 {
			newest := start.Add(time.Duration(9+i) * time.Millisecond)
			if got := server.flow.settled("m"); !got.Equal(newest) {
				t.Errorf("%d ahead: judging may go to %s, want %s", ahead, got, newest)
			}
			for !server.flow.judge.Cursor("m").Equal(newest) {
				time.Sleep(time.Millisecond)
			}
			say(newest.Add(time.Millisecond))
		}
		if got := server.readingsPart(server.machines()); got.State != api.PartWarning || !strings.Contains(got.Detail, "1 ahead of this computer's clock") || !strings.Contains(got.Detail, "(m by ") {
			t.Errorf("the status says %s: %s", got.State, got.Detail)
		}
		server.stop(t)
	}
}

// A server that others could reach does not start without a key.
func TestForeignListeningNeedsAKey(t *testing.T) {
	cfg := settings(t.TempDir())
	cfg.HTTP.Listen = "0.0.0.0:0"
	a, err := New(cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "fettle key create") {
		t.Errorf("started, or did not say what to do: %v", err)
	}
}

// A port that is taken is named, with the setting to change.
func TestTakenPortIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for setting, change := range map[string]func(*config.Config){
		"http.listen":       func(c *config.Config) { c.HTTP.Listen = taken.Addr().String() },
		"http.keyed_listen": func(c *config.Config) { c.HTTP.KeyedListen = taken.Addr().String() },
		"mqtt.listen":       func(c *config.Config) { c.MQTT.Listen = taken.Addr().String() },
		"mqtt.websocket":    func(c *config.Config) { c.MQTT.WebSocket = taken.Addr().String() },
	} {
		cfg := settings(t.TempDir())
		change(&cfg)
		a, err := New(cfg, "test", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s on a taken port: %v", setting, err)
		}
	}
}

// Whoever has no business here gets 403 at the keyed listener, also from this
// computer.
func TestKeyedListenerAsksEverybody(t *testing.T) {
	server := startApp(t, settings(t.TempDir()))
	defer server.stop(t)
	for address, want := range map[string]int{server.Addresses().HTTP: http.StatusOK, server.Addresses().KeyedHTTP: http.StatusForbidden} {
		response, err := http.Get("http://" + address + "/api/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s answers %s, want %d", address, response.Status, want)
		}
	}
}

func settings(dir string) config.Config {
	cfg := config.Defaults()
	cfg.Data.Dir = filepath.Join(dir, "data")
	cfg.HTTP.Listen, cfg.HTTP.KeyedListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.MQTT.Listen, cfg.MQTT.WebSocket = "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

// A server that runs says that it lives, and one that has stopped does not.
func TestAlive(t *testing.T) {
	a := startApp(t, settings(t.TempDir()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := a.Alive(ctx); err != nil {
		t.Error(err)
	}
	a.stop(t)
	if err := a.Alive(ctx); err == nil {
		t.Error("it lives after its end")
	}
}

// running is an App with its Run under way.
type running struct {
	*App
	cancel context.CancelFunc
	ended  chan error
}

// startApp runs a server, whose readings are checked when it stops.
func startApp(t *testing.T, cfg config.Config) *running {
	t.Helper()
	a, err := New(cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return runApp(t, a)
}

func runApp(t *testing.T, a *App) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{a, cancel, make(chan error, 1)}
	go func() { r.ended <- a.Run(ctx) }()
	select {
	case <-a.Ready():
	case err := <-r.ended:
		t.Fatal(err)
	}
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	mustBeSound(t, r.cfg.Data)
}

// mustBeSound checks everything in a data folder that nobody holds.
func mustBeSound(t *testing.T, data config.Data) {
	t.Helper()
	if r, err := backup.Check(context.Background(), data.Dir, filepath.Base(data.Store())); err != nil || len(r.Faults) > 0 {
		t.Errorf("check of the readings found %q, %v", r.Faults, err)
	}
}

// play gives the App what the machines say before a time.
func play(t *testing.T, a *App, machines *plant.Plant, until time.Time) {
	t.Helper()
	var rows []fettle.Reading
	for {
		at, messages := machines.Next()
		for _, m := range messages {
			rows = append(rows, m.Reading)
		}
		last := !at.Before(until)
		if last || len(rows) > 1000 {
			if err := a.Submit(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
			rows = nil // the gate owns what it was given
		}
		if last {
			return
		}
	}
}

// waitForAlarm reads the event log until an alarm has got into a state.
func (r *running) waitForAlarm(t *testing.T, state fettle.AlarmState) fettle.Alarm {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	reader := r.flow.events.Subscribe(0, events.Filter{Kinds: []fettle.EventKind{fettle.EventAlarm}})
	defer reader.Close()
	for {
		if _, err := reader.Next(ctx); err != nil {
			t.Fatalf("no alarm became %s: %v", state, err)
		}
		for _, a := range r.flow.alarms.List(alarm.Filter{}) {
			if a.State == state {
				return a
			}
		}
	}
}
