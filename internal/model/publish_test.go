package model

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle"
)

// publication is a ridge regression of two sensors.
func publication(machine string) Publication {
	return Publication{Machine: machine, Family: Ridge, Sensors: []string{"x", "y"}, Context: 50, Horizon: 10, TrainedRows: 120, Parameters: 7, Source: "fitted"}
}

func writeRidge(dir string) error {
	return os.WriteFile(filepath.Join(dir, "ridge.json"), []byte("{}"), 0o600)
}

func TestPublish(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "models")
	f, changes := open(t, dir)
	m, err := f.Publish(publication("press/7"), writeRidge)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "model_press%2F7_20251125_042000" || m.Machine != "press/7" || !m.Champion || m.TrainedRows != 120 || m.Context != 50 {
		t.Errorf("%+v", m)
	}
	if change := <-changes; len(change) != 1 || change[0].Name != m.Name {
		t.Errorf("told of %v", change)
	}
	if got := strings.Join(contents(t, dir), " "); got != "decisions_press%2F7.json "+m.Name+" "+m.Name+"/fettle.json "+m.Name+"/ridge.json" {
		t.Errorf("the folder holds %s", got)
	}
	text, err := os.ReadFile(filepath.Join(dir, m.Name, "fettle.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil || c["machine"] != "press/7" || c["created"] != "2025-11-25T04:20:00Z" || c["source"] != "fitted" ||
		c["sha256"] != "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" {
		t.Errorf("the card is %s, %v", text, err)
	}
	// Somebody else finds the same.
	again, _ := open(t, dir)
	if v, found := again.Champion("press/7", fettle.ShortForecaster); !found || v.Name != m.Name || v.StepSeconds != 0 {
		t.Errorf("%+v, %v", v, again.Problems())
	}
}

// TestPublishIsAlwaysTheNewest stamps a version behind those it follows, also
// where an earlier second has become free again.
func TestPublishIsAlwaysTheNewest(t *testing.T) {
	f, _ := open(t, t.TempDir())
	var last fettle.Model
	for range 3 {
		m, err := f.Publish(publication("press"), writeRidge)
		if err != nil {
			t.Fatal(err)
		}
		if !m.Created.After(last.Created) || !m.Champion {
			t.Errorf("%s follows %s", m.Name, last.Name)
		}
		if last.Name != "" {
			if err := f.Delete(last.Name); err != nil {
				t.Fatal(err)
			}
		}
		last = m
	}
}

// TestPublishTakesFreeSeconds gives every version of one second a name of its
// own, also when they come at once.
func TestPublishTakesFreeSeconds(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "scaler_a_20251125_042001.pkl"), scaler(6)) // its folder is still to come
	f, _ := open(t, dir)
	other, _ := open(t, dir) // as another process would
	var group sync.WaitGroup
	for i := range 8 {
		folder := []*Folder{f, other}[i%2]
		group.Go(func() {
			if _, err := folder.Publish(publication("a"), writeRidge); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := f.scan(); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(names(f), " ")
	want := ""
	for _, second := range []string{"00", "02", "03", "04", "05", "06", "07", "08"} {
		want += "model_a_20251125_0420" + second + " "
	}
	if got != strings.TrimSpace(want)+"*" {
		t.Errorf("versions %s; want %s", got, want)
	}
}

// TestPublishWholeOrNotAtAll leaves nothing behind when it fails.
func TestPublishWholeOrNotAtAll(t *testing.T) {
	full := errors.New("no space left on device")
	for _, c := range []struct {
		what  string
		p     Publication
		write func(dir string) error
		want  string
		kind  fettle.Kind
	}{
		{"the writer fails", publication("a"), func(dir string) error { return errors.Join(writeRidge(dir), full) }, "publish model of a: no space left on device", fettle.Internal},
		{"nothing is written", publication("a"), func(string) error { return nil }, "ridge.json", fettle.Internal},
		{"no machine", publication(""), writeRidge, "machine", fettle.Invalid},
		{"no sensors", Publication{Machine: "a", Family: Ridge, Context: 1, Horizon: 1}, writeRidge, "lacks sensors", fettle.Invalid},
		{"another family", Publication{Machine: "a", Family: "lstm"}, writeRidge, "family is lstm", fettle.Invalid},
		{"a PatchTST without scaler", Publication{Machine: "a", Family: PatchTST}, func(dir string) error { return fill(dir, patchTST(6)) }, "there is no scaler", fettle.Invalid},
		{"a folder in the folder", publication("a"), func(dir string) error { return errors.Join(writeRidge(dir), os.Mkdir(filepath.Join(dir, "x"), 0o755)) }, "is no plain file", fettle.Internal},
	} {
		dir := t.TempDir()
		f, changes := open(t, dir)
		_, err := f.Publish(c.p, c.write)
		if err == nil || !strings.Contains(err.Error(), c.want) || fettle.KindOf(err) != c.kind {
			t.Errorf("%s: error %v of kind %v; want %q of kind %v", c.what, err, fettle.KindOf(err), c.want, c.kind)
		}
		if left := contents(t, dir); len(left) > 0 || len(changes) > 0 {
			t.Errorf("%s: left are %v, %d changes told", c.what, left, len(changes))
		}
	}
}

// fill writes files as a publisher does.
func fill(dir string, files map[string][]byte) error {
	var err error
	for name, content := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	return err
}

func TestPublishPatchTST(t *testing.T) {
	f, _ := open(t, t.TempDir())
	m, err := f.Publish(Publication{Machine: "a", Family: PatchTST, Sensors: []string{"x", "y", "z"}, StepSeconds: 2}, func(dir string) error {
		return fill(dir, withFiles(patchTST(3), "scaler.json", scaler(3)))
	})
	if err != nil || m.Context != 4 || m.Horizon != 2 || m.Parameters != 60 || m.StepSeconds != 2 || m.Sensors[2] != "z" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestDelete(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, filepath.Join(dir, "model_a_20250101_000000"), ridge())
	writeAll(t, filepath.Join(dir, "model_a_20250102_000000"), patchTST(6))
	write(t, filepath.Join(dir, "scaler_a_20250102_000000.pkl"), scaler(6))
	writeAll(t, filepath.Join(dir, "model_a_20250103_000000"), nil)
	write(t, filepath.Join(dir, "model_a_20250103_000000", "broken"), nil)
	f, changes := open(t, dir)
	// Who serves stays.
	if err := f.Delete("model_a_20250102_000000"); fettle.KindOf(err) != fettle.Conflict || !strings.Contains(err.Error(), "promote another version first") {
		t.Errorf("delete the champion: %v", err)
	}
	if _, err := f.Promote("model_a_20250101_000000", Decision{Reason: "it is better", By: "me"}); err != nil {
		t.Fatal(err)
	}
	if change := <-changes; len(change) != 2 || !change[0].Champion || change[1].State != fettle.ModelRetired {
		t.Errorf("told of %+v", change)
	}
	for _, name := range []string{"model_a_20250102_000000", "model_a_20250103_000000"} {
		if err := f.Delete(name); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(contents(t, dir), " "); got != "decisions_a.json model_a_20250101_000000 model_a_20250101_000000/fettle.json model_a_20250101_000000/ridge.json" {
		t.Errorf("left are %s", got)
	}
	if change := <-changes; len(change) != 0 || len(f.Problems()) != 0 {
		t.Errorf("told of %v, problems %v", change, f.Problems())
	}
	for _, name := range []string{"model_a_20250102_000000", "../models", "", "."} {
		if err := f.Delete(name); fettle.KindOf(err) != fettle.NotFound {
			t.Errorf("delete %q: %v", name, err)
		}
	}
}

func TestPublishManyMachines(t *testing.T) {
	f, _ := open(t, t.TempDir())
	for _, machine := range []string{"b", "a", "c", "a"} {
		if _, err := f.Publish(publication(machine), writeRidge); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(names(f), " "); got != "model_a_20251125_042000 model_a_20251125_042001* model_b_20251125_042000* model_c_20251125_042000*" {
		t.Errorf("versions %s", got)
	}
	if v, _ := f.Champion("a", fettle.ShortForecaster); !v.Created.Equal(clock().Truncate(time.Second).Add(time.Second)) {
		t.Errorf("created %v", v.Created)
	}
}
