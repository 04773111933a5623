package model

import (
	"strings"
	"testing"

	"fettle"
)

// A challenger waits in the shadow until it is promoted or refused, or another
// one takes its place there; whoever opens the folder anew finds the same.
func TestWait(t *testing.T) {
	f, _ := open(t, t.TempDir())
	why := Decision{Reason: "better on held-out windows", By: "test"}
	champion := network(t, f, "m")
	first, second := network(t, f, "m"), network(t, f, "m")
	if v, found := f.Waiting("m", fettle.ShortForecaster); found {
		t.Fatalf("%s waits, and nobody said so", v.Name)
	}
	for _, name := range []string{first, second} {
		if _, err := f.Wait(name, why); err != nil {
			t.Fatal(err)
		}
		again, _ := open(t, f.dir)
		for _, f := range []*Folder{f, again} {
			v, found := f.Waiting("m", fettle.ShortForecaster)
			if !found || v.Name != name || v.State != fettle.ModelChallenger || v.Reason != why.Reason {
				t.Errorf("%s waits (%v, %s: %s), want %s", v.Name, found, v.State, v.Reason, name)
			}
			if v, _ := f.Champion("m", fettle.ShortForecaster); v.Name != champion {
				t.Errorf("%s serves, want %s", v.Name, champion)
			}
		}
	}
	if v, _ := f.Get(first); v.State != fettle.ModelRefused || !strings.Contains(v.Reason, second) {
		t.Errorf("the one before is %s: %s", v.State, v.Reason)
	}
	if _, err := f.Wait(champion, why); fettle.KindOf(err) != fettle.Conflict {
		t.Errorf("the champion waits: %v", err)
	}
	if _, err := f.Judge(first, true, why); fettle.KindOf(err) != fettle.Conflict {
		t.Errorf("one that does not wait is judged: %v", err)
	}
	if m, err := f.Judge(second, false, why); err != nil || m.State != fettle.ModelRefused {
		t.Errorf("%s: %v", m.State, err)
	}
	if _, err := f.Wait(second, why); err != nil {
		t.Fatal(err)
	}
	if m, err := f.Judge(second, true, why); err != nil || m.State != fettle.ModelChampion {
		t.Errorf("%s: %v", m.State, err)
	}
	if v, found := f.Waiting("m", fettle.ShortForecaster); found {
		t.Errorf("%s still waits", v.Name)
	}
}
