package readings

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// writeFolder, if set, makes this binary the writer that TestKill kills.
const writeFolder = "FETTLE_TEST_WRITE_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writeFolder); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver appends rows, now and then a late one, a merge, or a new sensor,
// and prints the number of each second once it is on disk.
func writeForEver(dir string) error {
	d, err := db.Open(filepath.Join(dir, "db"), db.Options{MemTableBytes: 256 << 10})
	if err != nil {
		return err
	}
	s, err := Open(d, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	first := 0
	if info, found := s.Info("m"); found {
		first = int(info.Last.Sub(at(0)).Seconds()) + 1
	}
	for i := first; ; i++ {
		rows := []fettle.Reading{reading(fmt.Sprintf("m %d a=%d s%d=1", i, i, i%97)), reading(fmt.Sprintf("m %d b=%d", i/2, i))}
		if _, err := s.Append(rows); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// Whatever moment a writer is killed at, every row that it was told is on disk
// is there, and what is known of the machine is what its rows say.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for range 5 {
		acknowledged := killed(t, dir)
		d, err := db.Open(filepath.Join(dir, "db"), db.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(d, dir, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		model := plain{}
		if err := s.Range("m", time.Time{}, time.Time{}, func(r fettle.Reading) error {
			model.append([]fettle.Reading{r})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(plainInfo(s, "m")), fmt.Sprint(model.info("m")); got != want {
			t.Errorf("info is %s, its rows say %s", got, want)
		}
		if got, want := fmt.Sprint(s.Latest("m")), fmt.Sprint(model.latest("m")); got != want {
			t.Errorf("latest is %s, its rows say %s", got, want)
		}
		for i := range acknowledged + 1 {
			if _, found := model["m"][at(i).UnixMicro()]; !found {
				t.Fatalf("row %d of %d acknowledged is gone", i, acknowledged)
			}
		}
		mustBeSound(t, s)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killed runs a writer until some rows are acknowledged, kills it, and returns
// the last that was.
func killed(t *testing.T, dir string) (acknowledged int) {
	t.Helper()
	writer := exec.Command(os.Args[0])
	writer.Env = append(os.Environ(), writeFolder+"="+dir)
	var trouble strings.Builder
	writer.Stderr = &trouble
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
			t.Fatal(err)
		}
		if n == 100 {
			if err := writer.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = writer.Wait() // killed
	if trouble.Len() > 0 {
		t.Fatal(trouble.String())
	}
	return acknowledged
}
