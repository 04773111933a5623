package model

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle"
)

// run follows a folder at the given pace until the test ends.
func run(t *testing.T, f *Folder, p pace) {
	t.Helper()
	f.pace = p
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// paces are the two ways in which a change is seen, each without the other.
func paces() map[string]pace {
	return map[string]pace{
		"by notice":  {settle: 5 * time.Millisecond, poll: time.Hour, notice: true},
		"by looking": {settle: time.Hour, poll: 5 * time.Millisecond, notice: false},
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s", what)
		}
	}
}

// lacks waits until the folder's one problem is of that kind.
func lacks(t *testing.T, f *Folder, reason string) {
	t.Helper()
	eventually(t, reason, func() bool {
		p := f.Problems()
		return len(p) == 1 && strings.Contains(p[0].Reason, reason)
	})
}

// TestFolderCopiedIn takes a version in once its last byte is there, and lets
// it go when it goes.
func TestFolderCopiedIn(t *testing.T) {
	for way, p := range paces() {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			f, changes := open(t, dir)
			run(t, f, p)
			const name = "model_cnc_20251124_093154"
			version, net := filepath.Join(dir, name), patchTST(6)
			write(t, filepath.Join(version, "README.md"), nil)
			lacks(t, f, "holds neither")
			write(t, filepath.Join(version, "config.json"), net["config.json"])
			lacks(t, f, "model.safetensors")
			weights := net["model.safetensors"]
			write(t, filepath.Join(version, "model.safetensors"), weights[:len(weights)/2])
			lacks(t, f, "cut short")
			write(t, filepath.Join(version, "model.safetensors"), weights)
			lacks(t, f, "there is no scaler")
			if len(f.List()) > 0 || len(changes) > 0 {
				t.Errorf("half a version is usable: %v", f.List())
			}
			write(t, filepath.Join(dir, "scaler_cnc_20251124_093154.pkl"), scaler(6))
			if change := <-changes; len(change) != 1 || change[0].Name != name || len(f.Problems()) > 0 {
				t.Errorf("told of %v, problems %v", change, f.Problems())
			}
			if err := os.RemoveAll(version); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the version goes", func() bool { return len(f.List()) == 0 && len(f.Problems()) == 0 })
			for change := range changes { // on the way it may have been broken for a moment
				if len(change) == 0 {
					break
				}
			}
		})
	}
}

// TestFolderMovedIn takes in a whole folder, next to one that stays broken.
func TestFolderMovedIn(t *testing.T) {
	for way, p := range paces() {
		t.Run(way, func(t *testing.T) {
			dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "model_a_20250101_000000")
			write(t, filepath.Join(dir, "model_broken_20250101_000000", "README.md"), nil)
			f, changes := open(t, dir)
			run(t, f, p)
			writeAll(t, elsewhere, ridge())
			if err := os.Rename(elsewhere, filepath.Join(dir, "model_a_20250101_000000")); err != nil {
				t.Fatal(err)
			}
			if change := <-changes; len(change) != 1 || change[0].Machine != "a" || !change[0].Champion {
				t.Errorf("told of %v", change)
			}
			if p := f.Problems(); len(p) != 1 || p[0].Name != "model_broken_20250101_000000" {
				t.Errorf("problems %v", p)
			}
		})
	}
}

// TestFilesReplaced sees a version whose files were replaced in place, which no
// notice tells.
func TestFilesReplaced(t *testing.T) {
	dir := t.TempDir()
	version := filepath.Join(dir, "model_a_20250101_000000")
	writeAll(t, version, withFiles(patchTST(6), "scaler.json", scaler(6)))
	f, changes := open(t, dir)
	before, _ := f.Champion("a", fettle.ShortForecaster)
	run(t, f, paces()["by looking"])
	write(t, filepath.Join(version, "fettle.json"), []byte(`{"sensors": ["a", "b", "c", "d", "e", "f"]}`))
	eventually(t, "the new sensors", func() bool {
		v, _ := f.Champion("a", fettle.ShortForecaster)
		return len(v.Sensors) == 6 && v.Sensors[0] == "a"
	})
	if after, _ := f.Champion("a", fettle.ShortForecaster); after.Fingerprint == before.Fingerprint {
		t.Error("the fingerprint stayed")
	}
	for change := range changes { // it may have been seen half written
		if len(change) == 1 && change[0].Sensors[0] == "a" {
			break
		}
	}
}

// TestFolderOfModelsComesBack outlives the loss of the whole folder.
func TestFolderOfModelsComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "models")
	writeAll(t, filepath.Join(dir, "model_a_20250101_000000"), ridge())
	f, _ := open(t, dir)
	run(t, f, pace{settle: 5 * time.Millisecond, poll: 5 * time.Millisecond, notice: true})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the versions go", func() bool { return len(f.List()) == 0 })
	writeAll(t, filepath.Join(dir, "model_a_20250101_000000"), ridge())
	eventually(t, "the versions come back", func() bool { return len(f.List()) == 1 })
}
