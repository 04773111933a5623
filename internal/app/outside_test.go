package app

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle/internal/api"
	"fettle/internal/config"
)

// beside are the settings of a server that listens to the broker of another.
func beside(t *testing.T, other *running, b config.OutsideBroker) config.Config {
	t.Helper()
	cfg := settings(t.TempDir())
	b.Name, b.URL = "hall", "mqtt://"+other.Addresses().MQTT
	cfg.Ingest.MQTT = []config.OutsideBroker{b}
	return cfg
}

func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Readings of an outside broker go the way of all others; what cannot be one is
// kept and counted, and stops nothing.
func TestOutsideBrokerIsTakenIn(t *testing.T) {
	plant := startApp(t, settings(t.TempDir()))
	stopPlant := sync.OnceFunc(func() { plant.stop(t) })
	defer stopPlant()
	say := func(topic, payload string, retain bool) {
		t.Helper()
		if err := plant.flow.broker.Publish(topic, []byte(payload), retain); err != nil {
			t.Fatal(err)
		}
	}
	say("plant/press/kept", `7`, true)
	say("hall/press", `{"timestamp": "2026-01-02T03:04:05Z", "dated": 8}`, true)
	server := startApp(t, beside(t, plant, config.OutsideBroker{Topics: []string{"plant/{machine}/{sensor}", "hall/{machine}"}}))
	defer server.stop(t)
	waitUntil(t, "it is connected", func() bool { return server.outsideStatus()[0].Connected })
	for _, m := range [][2]string{{"plant//a", "1"}, {"plant/press/temp", "hot"}, {"hall/press", `{"current": 5}`}, {"plant/press/temp", "21.5"}, {"elsewhere", "1"}} {
		say(m[0], m[1], false)
	}
	waitUntil(t, "three rows, and three messages refused", func() bool {
		info, _ := server.flow.readings.Info("press")
		return info.Rows == 3 && len(server.flow.gate.Rejected()) == 3
	})
	got := map[string]float64{}
	for _, v := range server.flow.readings.Latest("press") {
		got[v.Sensor] = v.Value
	}
	if want := "map[current:5 dated:8 temp:21.5]"; fmt.Sprint(got) != want {
		t.Errorf("values %v, want %s", got, want)
	}
	var rejections []string
	for _, r := range server.flow.gate.Rejected() {
		rejections = append(rejections, r.Source+": "+r.Reason)
	}
	if text := strings.Join(rejections, ", "); !strings.Contains(text, "mqtt hall plant/press/kept: retained without a time") || !strings.Contains(text, "mqtt hall plant//a: unknown topic") {
		t.Errorf("rejected: %s", text)
	}
	if part := server.outsidePart(); part.State != api.PartOK || !strings.Contains(part.Detail, "1 of 1 connected") {
		t.Errorf("part %+v", part)
	}
	stopPlant()
	waitUntil(t, "the loss is seen", func() bool { return server.outsidePart().State == api.PartError })
	if part := server.outsidePart(); !strings.Contains(part.Detail, "hall: ") {
		t.Errorf("part %+v", part)
	}
}

// The name of the session stays over restarts, is another one for each broker
// and folder, and is one that every broker takes.
func TestSessionNameStays(t *testing.T) {
	id := func(cfg config.Config, name string) string {
		t.Helper()
		cfg.Ingest.MQTT = []config.OutsideBroker{{Name: name, URL: "mqtt://127.0.0.1:1"}}
		server := startApp(t, cfg)
		defer server.stop(t)
		return server.outside[0].ClientID
	}
	first, second := settings(t.TempDir()), settings(t.TempDir())
	a := id(first, "hall")
	if b := id(first, "hall"); a != b || len(a) > 23 || strings.Trim(a, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		t.Errorf("first %q, then %q", a, b)
	}
	if b := id(first, "yard"); a == b {
		t.Error("two brokers have one session name")
	}
	if b := id(second, "hall"); a == b {
		t.Error("two folders have one session name")
	}
}

// Filters of an earlier configuration are taken back, however long ago it was.
func TestFormerFilters(t *testing.T) {
	server := startApp(t, settings(t.TempDir()))
	defer server.stop(t)
	for _, c := range []struct{ now, want string }{
		{"a b", ""}, {"a b", ""}, {"b c", "a"}, {"c", "b a"}, {"a", "c b"}, {"$share/g/a", "a c b"},
	} {
		got, err := server.formerFilters("hall", strings.Fields(c.now))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("now %s: former are %q, %v; want %s", c.now, got, err, c.want)
		}
	}
}

// What fettle's own broker listens on is known to those who must not connect
// there.
func TestOwnBrokerIsNoOutsideBroker(t *testing.T) {
	cfg := settings(t.TempDir())
	cfg.Ingest.MQTT = []config.OutsideBroker{{Name: "hall", URL: "mqtt://127.0.0.1:1"}}
	server := startApp(t, cfg)
	defer server.stop(t)
	own := server.outside[0].Own()
	for _, address := range []string{server.Addresses().MQTT, server.Addresses().WebSocket} {
		if address == "" || !slices.Contains(own, address) {
			t.Errorf("%q is not among fettle's own, %q", address, own)
		}
	}
}
