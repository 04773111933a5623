package model

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fettle"
)

// decideFolder, if set, makes this binary the process that TestKill kills.
const decideFolder = "FETTLE_TEST_DECIDE_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(decideFolder); dir != "" {
		fmt.Fprintln(os.Stderr, decideForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// decideForEver publishes, promotes, refuses, rolls back and deletes, and prints
// who serves after each.
func decideForEver(dir string) error {
	f, err := Open(dir, clock, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	why := Decision{Reason: "as it comes"}
	for {
		var versions []string
		for range 3 {
			m, err := f.Publish(Publication{Machine: "a", Family: PatchTST, Sensors: []string{"x", "y", "z"}}, func(dir string) error {
				return fill(dir, withFiles(patchTST(3), "scaler.json", scaler(3)))
			})
			if err != nil {
				return err
			}
			versions = append(versions, m.Name)
		}
		for _, step := range []func() (fettle.Model, error){
			func() (fettle.Model, error) { return f.Promote(versions[0], why) },
			func() (fettle.Model, error) { return f.Promote(versions[1], why) },
			func() (fettle.Model, error) { return f.Refuse(versions[2], why) },
			func() (fettle.Model, error) { return f.Rollback("a", fettle.ShortForecaster, why) },
			func() (fettle.Model, error) { return f.Publish(publication("a"), writeRidge) },
		} {
			if _, err := step(); err != nil {
				return err
			}
			v, _ := f.Champion("a", fettle.ShortForecaster)
			fmt.Println(v.Name)
		}
		for _, v := range f.Versions("a") {
			if !v.Champion && v.Created.Before(clock().Add(-time.Hour)) || len(f.Versions("a")) > 20 && !v.Champion {
				if err := f.Delete(v.Name); err != nil {
					return err
				}
			}
		}
	}
}

// TestKill kills a process in the middle of its decisions. Whoever comes next
// finds whole versions, a whole file of decisions, and a champion that served
// last or was about to.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "models")
	for range 8 {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), decideFolder+"="+dir)
		command.Stderr = os.Stderr
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		last := ""
		for n := 1 + rand.IntN(12); n > 0 && lines.Scan(); n-- {
			last = lines.Text()
		}
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // anywhere in the next steps
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			last = lines.Text()
		}
		_ = command.Wait() // it was killed
		if last == "" {
			t.Fatal("the process has decided nothing")
		}
		f, _ := open(t, dir)
		if p := f.Problems(); len(p) != 0 {
			t.Fatalf("problems after a kill: %v", p)
		}
		champion, found := f.Champion("a", fettle.ShortForecaster)
		b, err := f.readBook("a")
		if !found || err != nil || b.Champions[fettle.ShortForecaster] != champion.Name {
			t.Fatalf("%s serves; the decisions say %+v, %v", champion.Name, b, err)
		}
		if champion.Name != last && !newerDecision(b, last) {
			t.Fatalf("%s serves; %s did so before the kill, and nothing was decided since", champion.Name, last)
		}
	}
}

// newerDecision tells whether another version took the place of the one that
// served: the decision that the kill left without a word.
func newerDecision(b *book, served string) bool {
	last := b.History[len(b.History)-1]
	return last.Before == served && last.Model != served
}

// TestFullDisk leaves everything as it was when a version, or a decision, does
// not fit on the disk any more.
func TestFullDisk(t *testing.T) {
	f, changes := open(t, t.TempDir())
	first := fitRidge(t, f, "a")
	second := network(t, f, "a")
	for len(changes) > 0 {
		<-changes
	}
	before := strings.Join(contents(t, f.dir), " ")
	if _, err := f.Publish(publication("a"), func(dir string) error {
		return errors.Join(writeRidge(dir), &os.PathError{Op: "write", Path: dir, Err: syscall.ENOSPC})
	}); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	// What stands in the way of a file stops it as a full disk does.
	path := filepath.Join(f.dir, "decisions_a.json")
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(path, "in the way"), nil)
	write(t, filepath.Join(path+damagedSuffix, "in the way"), nil)
	if _, err := f.Promote(second, Decision{}); err == nil {
		t.Error("promoted without a word on the disk")
	}
	if v, _ := f.Champion("a", fettle.ShortForecaster); v.Name != first {
		t.Errorf("%s serves", v.Name)
	}
	if err := errors.Join(os.RemoveAll(path), os.RemoveAll(path+damagedSuffix)); err != nil {
		t.Fatal(err)
	}
	write(t, path, kept)
	if after := strings.Join(contents(t, f.dir), " "); after != before {
		t.Errorf("left are %s; before %s", after, before)
	}
	promote(t, f, second, Decision{Reason: "now it fits"})
}
