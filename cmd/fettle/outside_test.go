//go:build peers_light

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/bridge"
	"fettle/internal/process"
)

// TestOutsideBrokers takes readings from two Mosquitto brokers while fettle is
// killed again and again in the middle of the stream. Everything that a broker
// has acknowledged to its publisher is stored, once.
func TestOutsideBrokers(t *testing.T) {
	const messages, kills = 12_000, 4
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin") // of root only, where Debian has it
	binary, folder := buildFettle(t), filepath.Join(t.TempDir(), "data")
	brokers := map[string]*process.Mosquitto{}
	var settings []string
	for _, name := range []string{"hall", "yard"} {
		m, err := process.StartMosquitto(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Stop)
		brokers[name] = m
		settings = append(settings, fmt.Sprintf("{name: %s, url: 'mqtt://%s', topics: ['plant/{machine}/{sensor}', '$share/fettle/press/{machine}']}", name, m.Address))
	}
	t.Setenv("FETTLE_INGEST_MQTT", "["+strings.Join(settings, ", ")+"]")
	server := startListening(t, binary, folder)

	var publishing errgroup.Group
	for name, m := range brokers {
		publishing.Go(func() error { return publishPresses(t.Context(), m.Address, name, messages) })
	}
	for kill := range kills {
		enough := int64(2 * messages * (kill + 1) / (kills + 2))
		waitForRows(t, server, enough, map[string]int64{"hall": messages, "yard": messages})
		server.Kill()
		server = startListening(t, binary, folder)
	}
	if err := publishing.Wait(); err != nil {
		t.Fatal(err)
	}
	waitForRows(t, server, 2*messages, map[string]int64{"hall": messages, "yard": messages})

	hall := brokers["hall"]
	host, port, _ := strings.Cut(hall.Address, ":")
	for _, c := range []struct{ topic, payload string }{
		{"plant//temp", "1"}, {"plant/lathe/temp", "warm"}, {"plant/lathe/temp", "\xff\xfe"}, {"plant/" + strings.Repeat("x", 300) + "/temp", "1"},
		{"press/lathe", "{"}, {"press/lathe", strings.Repeat(" ", 2<<20)}, {"press/lathe", `{"timestamp": "yesterday", "temp": 1}`},
		{"plant/lathe/temp", "21.5"}, // the only good one, behind all the others
	} {
		pub := exec.Command("mosquitto_pub", "-h", host, "-p", port, "-q", "1", "-t", c.topic, "-s")
		pub.Stdin = strings.NewReader(c.payload)
		if out, err := pub.CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_pub: %v\n%s", err, out)
		}
	}
	waitForRows(t, server, 2*messages+1, map[string]int64{"hall": messages, "yard": messages, "lathe": 1})
	out, err := server.Command(t.Context(), "status")
	if err != nil || !strings.Contains(out, "hall") || !strings.Contains(out, "MQTT 5") || !strings.Contains(out, "7 refused") {
		t.Errorf("%v\n%s", err, out)
	}
	t.Log(out)
	server.Stop()
}

// startListening starts fettle, and waits until it has subscribed everywhere.
func startListening(t *testing.T, binary, folder string) *process.Server {
	t.Helper()
	server, err := process.Start(t.Context(), binary, folder)
	if err != nil {
		t.Fatal(err)
	}
	err = process.WaitFor(t.Context(), "fettle to subscribe", func() (bool, error) {
		var s api.Status
		err := server.Get(t.Context(), "/api/v1/status", &s)
		for _, b := range s.OutsideBrokers {
			if !b.Connected {
				return false, err
			}
		}
		return len(s.OutsideBrokers) > 0, err
	})
	if err != nil {
		t.Fatalf("%v\nthe server said:\n%s", err, server.Log())
	}
	return server
}

// publishPresses sends numbered readings of one machine, one every second of
// its time, and returns once the broker has acknowledged all.
func publishPresses(ctx context.Context, address, machine string, n int) error {
	client, err := bridge.Dial(ctx, bridge.Options{URL: address})
	if err != nil {
		return err
	}
	defer client.Close()
	start := time.Now().Add(-time.Duration(n) * time.Second).Truncate(time.Second)
	for i := range n {
		payload := fmt.Sprintf(`{"timestamp": %d, "number": %d}`, start.Add(time.Duration(i)*time.Second).Unix(), i)
		if err := client.Publish(ctx, "press/"+machine, []byte(payload), 1); err != nil {
			return err
		}
	}
	return client.Flush(ctx)
}

// waitForRows waits until so many rows are stored, of no machine more than it
// sent.
func waitForRows(t *testing.T, server *process.Server, enough int64, most map[string]int64) {
	t.Helper()
	var stored string
	err := process.WaitFor(t.Context(), fmt.Sprintf("%d rows", enough), func() (bool, error) {
		var list struct{ Machines []fettle.Machine }
		if err := server.Get(t.Context(), "/api/v1/machines", &list); err != nil {
			return false, err
		}
		var sum int64
		stored = ""
		for _, m := range list.Machines {
			if sum += m.Rows; m.Rows > most[m.Name] {
				return false, fmt.Errorf("%s has %d rows, and sent %d", m.Name, m.Rows, most[m.Name])
			}
			stored += fmt.Sprintf(" %s %d", m.Name, m.Rows)
		}
		return sum >= enough, nil
	})
	if err != nil {
		t.Fatalf("%v; stored are:%s\nthe server said:\n%s", err, stored, server.Log())
	}
	t.Logf("stored:%s", stored)
}
