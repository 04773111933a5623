//go:build peers_light

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"fettle"
	"fettle/internal/config"
)

var killSeed = flag.Uint64("kill.seed", 0, "draw the moments of TestKill from this seed; 0: another one each time")

// TestKill runs the real program under load from programs outside, ends it as
// kill -9 does, and starts it again over the same folder, twenty times. Nothing
// that was acknowledged may be missing, and nothing may be there that nobody
// sent: neither a second row, nor an event or alarm that changed its identity.
func TestKill(t *testing.T) {
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test -tags peers_light -run 'TestKill$' ./cmd/fettle -kill.seed %d", seed)
	k := &killing{
		t: t, draw: rand.New(rand.NewPCG(seed, 0)), binary: buildFettle(t), folder: filepath.Join(t.TempDir(), "data"),
		witness: newWitness(), books: newBooks(),
	}
	t.Setenv("FETTLE_RETENTION_EVERY", "100ms") // closed days are sealed at once
	rounds := 20
	if text := os.Getenv("FETTLE_TORTURE_ROUNDS"); text != "" {
		if _, err := fmt.Sscan(text, &rounds); err != nil {
			t.Fatal(err)
		}
	}
	for round := range rounds {
		if round%2 == 1 {
			k.killAtStart()
		}
		server := k.start()
		k.recovered(server)
		k.killUnderLoad(server, 1+k.draw.Int64N(10_000))
		if round%5 == 4 {
			k.commandsBesideNobody(server)
		}
	}
	server := k.start()
	k.recovered(server)
	server.Stop()
	if note, err := config.ReadServer(k.folder); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("a server that was stopped left its note: %+v (%v)", note, err)
	}
	k.complete() // from the folder, now that nobody holds it

	for _, b := range k.books {
		t.Logf("%-14s %6d messages acknowledged of %6d", b.machine, b.acknowledged.Load(), b.handed.Load())
		if b.acknowledged.Load() == 0 {
			t.Errorf("nothing of %s was ever acknowledged", b.machine)
		}
	}
	if len(k.witness.alarms) == 0 {
		t.Error("no alarm was ever raised, so none was seen to survive")
	}
	t.Log(k.checked)
	t.Logf("%d alarms and %d events seen by a reader", len(k.witness.alarms), len(k.witness.events))
}
