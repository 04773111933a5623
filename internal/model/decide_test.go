package model

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fettle"
)

// network publishes a PatchTST as a training does.
func network(t *testing.T, f *Folder, machine string) string {
	t.Helper()
	m, err := f.Publish(Publication{Machine: machine, Family: PatchTST, Sensors: []string{"x", "y", "z"}}, func(dir string) error {
		return fill(dir, withFiles(patchTST(3), "scaler.json", scaler(3)))
	})
	if err != nil {
		t.Fatal(err)
	}
	return m.Name
}

// fitRidge publishes a ridge as the server does.
func fitRidge(t *testing.T, f *Folder, machine string) string {
	t.Helper()
	m, err := f.Publish(publication(machine), writeRidge)
	if err != nil {
		t.Fatal(err)
	}
	return m.Name
}

// copyIn puts a version into the folder behind fettle's back.
func copyIn(t *testing.T, f *Folder, name string, files map[string][]byte) {
	t.Helper()
	writeAll(t, filepath.Join(f.dir, name), files)
	if err := f.scan(); err != nil {
		t.Fatal(err)
	}
}

// states lists what a machine's versions are, by the second they were made in.
func states(f *Folder, machine string) string {
	var list []string
	for _, v := range f.Versions(machine) {
		list = append(list, v.Name[len(v.Name)-2:]+" "+string(v.State))
	}
	return strings.Join(list, ", ")
}

// TestStates tells who serves, step by step, each time as somebody who opens
// the folder anew finds it, too.
func TestStates(t *testing.T) {
	why := Decision{Reason: "it beats the champion", By: "test"}
	for _, c := range []struct {
		what  string
		steps func(t *testing.T, f *Folder)
		want  string
	}{
		{"the first challenger serves at once", func(t *testing.T, f *Folder) {
			network(t, f, "a")
		}, "00 champion"},
		{"the next one waits", func(t *testing.T, f *Folder) {
			network(t, f, "a")
			network(t, f, "a")
		}, "00 champion, 01 challenger"},
		{"a ridge follows a ridge", func(t *testing.T, f *Folder) {
			fitRidge(t, f, "a")
			fitRidge(t, f, "a")
		}, "00 retired, 01 champion"},
		{"a challenger waits behind a ridge", func(t *testing.T, f *Folder) {
			fitRidge(t, f, "a")
			network(t, f, "a")
			fitRidge(t, f, "a")
		}, "00 retired, 01 challenger, 02 champion"},
		{"a ridge never dethrones a PatchTST", func(t *testing.T, f *Folder) {
			fitRidge(t, f, "a")
			promote(t, f, network(t, f, "a"), why)
			fitRidge(t, f, "a")
		}, "00 retired, 01 champion, 02 retired"},
		{"refused for good", func(t *testing.T, f *Folder) {
			fitRidge(t, f, "a")
			if _, err := f.Refuse(network(t, f, "a"), Decision{Reason: "no better than ridge"}); err != nil {
				t.Fatal(err)
			}
		}, "00 champion, 01 refused"},
		{"promoted although refused", func(t *testing.T, f *Folder) {
			fitRidge(t, f, "a")
			name := network(t, f, "a")
			if _, err := f.Refuse(name, why); err != nil {
				t.Fatal(err)
			}
			promote(t, f, name, why)
		}, "00 retired, 01 champion"},
		{"rolled back to the newest ridge", func(t *testing.T, f *Folder) {
			fitRidge(t, f, "a")
			promote(t, f, network(t, f, "a"), why)
			fitRidge(t, f, "a")
			rollBack(t, f, "a")
		}, "00 retired, 01 refused, 02 champion"},
		{"rolled back twice, further each time", func(t *testing.T, f *Folder) {
			network(t, f, "a")
			promote(t, f, network(t, f, "a"), why)
			promote(t, f, network(t, f, "a"), why)
			rollBack(t, f, "a")
			rollBack(t, f, "a")
		}, "00 champion, 01 refused, 02 refused"},
		{"copied in by hand, however old", func(t *testing.T, f *Folder) {
			promote(t, f, network(t, f, "a"), why)
			copyIn(t, f, "model_a_20200101_000058", withFiles(patchTST(3), "scaler.json", scaler(3), "fettle.json", `{"sensors": ["x", "y", "z"]}`))
		}, "58 champion, 00 retired"},
		{"copied in as a challenger", func(t *testing.T, f *Folder) {
			fitRidge(t, f, "a")
			copyIn(t, f, "model_a_20260101_000058", withFiles(patchTST(3), "scaler.json", scaler(3), "fettle.json", `{"sensors": ["x", "y", "z"], "enters": "challenger"}`))
		}, "00 champion, 58 challenger"},
		{"the champion's folder goes: ridge stands in", func(t *testing.T, f *Folder) {
			fitRidge(t, f, "a")
			name := network(t, f, "a")
			promote(t, f, name, why)
			network(t, f, "a")
			if err := os.RemoveAll(filepath.Join(f.dir, name)); err != nil {
				t.Fatal(err)
			}
			if err := f.scan(); err != nil {
				t.Fatal(err)
			}
		}, "00 champion, 02 challenger"},
	} {
		t.Run(c.what, func(t *testing.T) {
			f, _ := open(t, t.TempDir())
			c.steps(t, f)
			if got := states(f, "a"); got != c.want {
				t.Errorf("%s; want %s", got, c.want)
			}
			again, _ := open(t, f.dir)
			if got := states(again, "a"); got != c.want {
				t.Errorf("after a restart: %s; want %s", got, c.want)
			}
		})
	}
}

func promote(t *testing.T, f *Folder, name string, d Decision) {
	t.Helper()
	if m, err := f.Promote(name, d); err != nil || !m.Champion || m.Reason != d.Reason || m.By != d.By {
		t.Fatalf("%+v, %v", m, err)
	}
}

func rollBack(t *testing.T, f *Folder, machine string) {
	t.Helper()
	if m, err := f.Rollback(machine, fettle.ShortForecaster, Decision{Reason: "worse than it was"}); err != nil || !m.Champion {
		t.Fatalf("%+v, %v", m, err)
	}
}

// TestForecastersApart has a champion for each forecaster of a machine.
func TestForecastersApart(t *testing.T) {
	f, _ := open(t, t.TempDir())
	short := fitRidge(t, f, "a")
	p := publication("a")
	p.Forecaster = "hour"
	hour, err := f.Publish(p, writeRidge)
	if err != nil || !hour.Champion || hour.Forecaster != "hour" {
		t.Fatalf("%+v, %v", hour, err)
	}
	for forecaster, want := range map[string]string{"": "", "short": short, "hour": hour.Name, "days": ""} {
		if v, _ := f.Champion("a", forecaster); v.Name != want {
			t.Errorf("%s serves as %q; want %s", v.Name, forecaster, want)
		}
	}
}

func TestRefusesDecisions(t *testing.T) {
	f, _ := open(t, t.TempDir())
	champion := fitRidge(t, f, "a")
	write(t, filepath.Join(f.dir, "model_a_20250101_000000", "README"), nil)
	if err := f.scan(); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 501)
	for _, c := range []struct {
		what string
		do   func() (fettle.Model, error)
		kind fettle.Kind
		want string
	}{
		{"an unknown version", func() (fettle.Model, error) { return f.Promote("model_a_20990101_000000", Decision{}) }, fettle.NotFound, "there is no such version"},
		{"a path", func() (fettle.Model, error) { return f.Promote("../x", Decision{}) }, fettle.NotFound, "there is no such version"},
		{"a broken version", func() (fettle.Model, error) { return f.Promote("model_a_20250101_000000", Decision{}) }, fettle.Conflict, "it cannot be used: the folder holds neither"},
		{"the champion refused", func() (fettle.Model, error) { return f.Refuse(champion, Decision{}) }, fettle.Conflict, "roll back, or promote another version"},
		{"nothing to roll back to", func() (fettle.Model, error) { return f.Rollback("a", "short", Decision{}) }, fettle.Conflict, "no other version of a has served as short"},
		{"nothing to roll back", func() (fettle.Model, error) { return f.Rollback("b", "short", Decision{}) }, fettle.NotFound, "no version serves b as short"},
		{"a long reason", func() (fettle.Model, error) { return f.Promote(champion, Decision{Reason: long}) }, fettle.Invalid, "at most 500 bytes"},
		{"a long name", func() (fettle.Model, error) { return f.Promote(champion, Decision{By: long}) }, fettle.Invalid, "at most 128 bytes"},
	} {
		if _, err := c.do(); fettle.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", c.what, err, c.want)
		}
	}
}

// TestHistory keeps what was decided, refits of a row as one, a hundred at
// most, also over a restart.
func TestHistory(t *testing.T) {
	f, _ := open(t, t.TempDir())
	first := fitRidge(t, f, "a")
	fitRidge(t, f, "a")
	ridge := fitRidge(t, f, "a")
	net := network(t, f, "a")
	promote(t, f, net, Decision{Reason: "better by 10 %", By: "training"})
	rollBack(t, f, "a")
	again, _ := open(t, f.dir)
	var got []string
	for _, d := range again.History("a") {
		got = append(got, string(d.Action)+" "+d.Model+" < "+d.Before+": "+d.Reason)
	}
	want := []string{
		"first " + first + " < : the first that there is",
		"refitted " + ridge + " < " + first + ": fitted to more readings",
		"promoted " + net + " < " + ridge + ": better by 10 %",
		"rolled back " + ridge + " < " + net + ": worse than it was",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for range maxHistory {
		promote(t, f, net, Decision{Reason: "again"})
	}
	if h := f.History("a"); len(h) != maxHistory || h[0].Action != Promoted {
		t.Errorf("%d decisions, from %+v", len(h), h[0])
	}
}

// TestDamagedDecisions falls back to the rule, says so, and writes over nothing
// until somebody decides anew.
func TestDamagedDecisions(t *testing.T) {
	for _, c := range []struct{ what, text, want string }{
		{"no JSON", `{"machine": "a", "champions"`, "unexpected end"},
		{"another machine's", `{"machine": "b"}`, "machine is b; expected a"},
		{"a state that there is not", `{"machine": "a", "versions": {"model_a_20250101_000000": {"state": "king"}}}`, "is king; expected retired, refused"},
		{"a champion of another machine", `{"machine": "a", "champions": {"short": "model_b_20250101_000000"}}`, "expected a version of a"},
		{"gone", "", "the file is gone"},
	} {
		f, _ := open(t, t.TempDir())
		ridge := fitRidge(t, f, "a")
		net := network(t, f, "a")
		promote(t, f, net, Decision{Reason: "better"})
		path := filepath.Join(f.dir, "decisions_a.json")
		if c.text == "" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else {
			write(t, path, []byte(c.text))
		}
		again, _ := open(t, f.dir)
		if v, _ := again.Champion("a", "short"); v.Name != ridge {
			t.Errorf("%s: %s serves; want %s", c.what, v.Name, ridge)
		}
		if p := again.Problems(); len(p) != 1 || p[0].Name != "decisions_a.json" || !strings.Contains(p[0].Reason, c.want) {
			t.Errorf("%s: problems %v; want %s", c.what, p, c.want)
		}
		fitRidge(t, again, "a")
		if text, err := os.ReadFile(path); string(text) != c.text {
			t.Errorf("%s: the file was written over: %s, %v", c.what, text, err)
		}
		// While it runs, what is known stays known.
		if err := f.scan(); err != nil {
			t.Fatal(err)
		}
		if v, _ := f.Champion("a", "short"); c.text != "" && v.Name != net {
			t.Errorf("%s: %s serves after a look; want %s", c.what, v.Name, net)
		}
		promote(t, again, net, Decision{Reason: "as it was"})
		if p := again.Problems(); len(p) != 0 {
			t.Errorf("%s: problems stay: %v", c.what, p)
		}
		if text, err := os.ReadFile(path + ".damaged"); c.text != "" && (err != nil || string(text) != c.text) {
			t.Errorf("%s: set aside is %s, %v", c.what, text, err)
		}
		third, _ := open(t, f.dir)
		if v, _ := third.Champion("a", "short"); v.Name != net || len(third.Problems()) != 0 {
			t.Errorf("%s: %s serves, problems %v", c.what, v.Name, third.Problems())
		}
	}
}

// TestEditedDecisions follows a champion that was named with an editor.
func TestEditedDecisions(t *testing.T) {
	f, _ := open(t, t.TempDir())
	fitRidge(t, f, "a")
	net := network(t, f, "a")
	run(t, f, paces()["by notice"])
	text, err := json.Marshal(map[string]any{"machine": "a", "champions": map[string]string{"short": net}, "newer": 1})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(f.dir, "decisions_a.json"), text)
	eventually(t, "the champion by hand", func() bool { v, _ := f.Champion("a", "short"); return v.Name == net })
}

func FuzzBook(f *testing.F) {
	f.Add([]byte(`{"machine": "a", "champions": {"short": "model_a_20250101_000000"}, "versions": {"model_a_20250101_000000": {"turn": 1, "since": "2025-01-01T00:00:00Z"}}, "history": [{"action": "first"}]}`))
	f.Add([]byte(`{"machine": "a", "champions": null, "versions": {"x": {"state": "refused"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBook(data, "a")
		if err != nil {
			return
		}
		text, err := encodeJSON(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseBook(text, "a")
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if second, err := encodeJSON(again); err != nil || string(second) != string(text) {
			t.Fatalf("%s was read as %s, %v", text, second, err)
		}
		again.admit([]Version{{Model: fettle.Model{Name: "model_a_20250101_000000", Forecaster: "short"}}}, func(string) bool { return true }, clock())
	})
}
