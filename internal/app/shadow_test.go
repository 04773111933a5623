package app

import (
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/model"
	"fettle/internal/plant"
)

// A challenger in the shadow is forecast at the ticks of the readings that come,
// and decided on by their time: here an old ridge beside a newer one.
func TestChallengerIsJudgedInTheShadow(t *testing.T) {
	const machine = "lathe-1-spindle"
	start := time.Now().UTC().Truncate(time.Second).Add(-8 * time.Hour)
	machines, err := plant.New(plant.Options{Names: []string{machine}, Start: start, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(t.TempDir())
	cfg.Training.Shadow = config.Duration(time.Hour)
	server := startApp(t, cfg)
	ridges := func() (list []fettle.Model) {
		for _, m := range server.models.Versions(machine) {
			if m.Forecaster == fettle.ShortForecaster {
				list = append(list, m.Model)
			}
		}
		return list
	}
	await := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not after five minutes: %s; versions %+v", what, ridges())
			}
		}
	}
	play(t, server.App, machines, start.Add(time.Hour))
	await("three ridges", func() bool {
		list := ridges()
		return len(list) >= 3 && list[len(list)-1].TrainedRows > 900
	})
	challenger := ridges()[len(ridges())-2]
	if _, err := server.models.Wait(challenger.Name, model.Decision{Reason: "once more"}); err != nil {
		t.Fatal(err)
	}
	play(t, server.App, machines, start.Add(4*time.Hour))
	await("a decision", func() bool {
		v, found := server.models.Get(challenger.Name)
		return found && v.State != fettle.ModelChallenger
	})
	v, _ := server.models.Get(challenger.Name)
	if !strings.Contains(v.Reason, "better in the shadow") || !strings.Contains(v.Reason, " forecasts in 1h") || !strings.Contains(v.Reason, "(MSE ") {
		t.Errorf("%s: %s", v.State, v.Reason)
	}
	server.stop(t)
}
