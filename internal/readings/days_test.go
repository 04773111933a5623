package readings

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// fillDays appends a row a minute over n days from 2026-03-01 00:00 on, of the
// sensors a (the number of the row) and b (every other row).
func fillDays(t *testing.T, s *Store, machine string, n int) {
	t.Helper()
	var rows []fettle.Reading
	for i := range n * 1440 {
		r := fettle.Reading{Machine: machine, Time: dayStart.Add(time.Duration(i) * time.Minute), Values: []fettle.Value{{Sensor: "a", Value: float64(i)}}}
		if i%2 == 0 {
			r.Values = append(r.Values, fettle.Value{Sensor: "b", Value: 0.5})
		}
		rows = append(rows, r)
	}
	if _, err := s.Append(rows); err != nil {
		t.Fatal(err)
	}
}

var dayStart = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func sealAll(t *testing.T, s *Store, want int) {
	t.Helper()
	if n, err := s.SealAll(context.Background()); n != want || err != nil {
		t.Fatalf("sealed %d days, %v; expected %d", n, err, want)
	}
}

func wantCount(t *testing.T, s *Store, machine string, want int) {
	t.Helper()
	rows := 0
	if err := s.Range(machine, time.Time{}, time.Time{}, func(fettle.Reading) error { rows++; return nil }); err != nil {
		t.Fatal(err)
	}
	info, _ := s.Info(machine)
	if rows != want || info.Rows != int64(want) {
		t.Errorf("machine %s has %d rows, %d are noted, expected %d", machine, rows, info.Rows, want)
	}
}

// files lists what is under the data folder, but for the store.
func files(t *testing.T, s *Store) (names []string) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if entry != nil && entry.Name() == "db" {
				return filepath.SkipDir
			}
			return err
		}
		name, err := filepath.Rel(s.dir, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestSealedDaysAreFiles(t *testing.T) {
	s := openStore(t)
	fillDays(t, s, "mill 7", 2)
	sealAll(t, s, 1)
	want := "[readings/machine=mill 7/2026-03-01.parquet rollups/1h/machine=mill 7/2026-03-01.parquet rollups/1m/machine=mill 7/2026-03-01.parquet]"
	if got := fmt.Sprint(files(t, s)); got != want {
		t.Errorf("files are\n%s\nexpected\n%s", got, want)
	}
	wantCount(t, s, "mill 7", 2880)
	sealAll(t, s, 0)
	if info, _ := s.Info("mill 7"); info.Bytes == 0 || !info.First.Equal(dayStart) {
		t.Errorf("Info is %+v", info)
	}
}

// A damaged file is set aside, whatever finds it; the rest serves, the counts
// are right again, and the day can be filled anew.
func TestDamagedFile(t *testing.T) {
	find := map[string]func(*Store) error{
		"range": func(s *Store) error {
			return s.Range("m", time.Time{}, time.Time{}, func(fettle.Reading) error { return nil })
		},
		"window": func(s *Store) error { _, err := s.Window("m", time.Time{}, 1<<20, nil); return err },
		"last":   func(s *Store) error { _, err := s.Last("m", time.Time{}, 1<<20); return err },
		"points": func(s *Store) error { _, err := s.Points("m", nil, time.Time{}, time.Time{}, 10_000); return err },
		"append": func(s *Store) error {
			_, err := s.Append([]fettle.Reading{{Machine: "m", Time: dayStart.Add(12 * time.Hour), Values: []fettle.Value{{Sensor: "a", Value: 720}}}})
			return err
		},
	}
	for how, damageIt := range map[string]func(name string) error{
		"changed":  func(name string) error { return patch(name, 100) },
		"cut off":  func(name string) error { return os.Truncate(name, 500) },
		"missing":  os.Remove,
		"no magic": func(name string) error { return patch(name, 0) },
	} {
		for who, found := range find {
			t.Run(how+"/"+who, func(t *testing.T) {
				s := openStore(t)
				fillDays(t, s, "m", 3)
				sealAll(t, s, 2)
				if err := damageIt(s.fileOf(Raw, "m", dayStart.UnixMicro())); err != nil {
					t.Fatal(err)
				}
				if err := found(s); err != nil {
					t.Fatal(err)
				}
				left := 2 * 1440
				if who == "append" {
					left++
				}
				wantCount(t, s, "m", left)
				if s.Files().Lost != 1 {
					t.Errorf("%d days are lost, expected 1", s.Files().Lost)
				}
				mustBeSound(t, s)
				fillDays(t, s, "m", 1)
				sealAll(t, s, 1)
				wantCount(t, s, "m", 3*1440)
			})
		}
	}
}

// patch turns over a byte of a file.
func patch(name string, at int64) error {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, at); err != nil {
		return err
	}
	_, err = file.WriteAt([]byte{^b[0]}, at)
	return err
}

// A damaged rollup costs nothing but the time to make it anew.
func TestDamagedRollup(t *testing.T) {
	s := openStore(t)
	fillDays(t, s, "m", 2)
	sealAll(t, s, 1)
	ask := func() string {
		p, err := s.Points("m", []string{"a"}, dayStart, dayStart.Add(24*time.Hour), 100)
		if err != nil || p.Resolution != Minute {
			t.Fatal(p.Resolution, err)
		}
		return fmt.Sprint(p)
	}
	before := ask()
	if err := patch(s.fileOf(Minute, "m", dayStart.UnixMicro()), 100); err != nil {
		t.Fatal(err)
	}
	if after := ask(); after != before {
		t.Error("without its rollup a day answers otherwise")
	}
	sealAll(t, s, 1)
	if after := ask(); after != before {
		t.Error("with its rollup made anew a day answers otherwise")
	}
}

// Wherever the replacement of a day's files is broken off, opening the store
// puts it right.
func TestSettle(t *testing.T) {
	for replaced := range kinds + 1 {
		t.Run(fmt.Sprint(replaced, " files replaced"), func(t *testing.T) {
			dir := t.TempDir()
			d := openDB(t, filepath.Join(dir, "db"))
			s := openIn(t, d, dir)
			fillDays(t, s, "m", 2)
			sealAll(t, s, 1)
			late := fettle.Reading{Machine: "m", Time: dayStart.Add(time.Second), Values: []fettle.Value{{Sensor: "late", Value: 1}}}
			merged := fettle.Reading{Machine: "m", Time: dayStart, Values: []fettle.Value{{Sensor: "late", Value: 2}}}
			if done, err := s.Append([]fettle.Reading{late, merged}); err != nil || done.New != 1 || done.Merged != 1 {
				t.Fatal(done, err)
			}
			m, _ := s.machine("m")
			at := dayStart.UnixMicro()
			touched, _ := s.touchedOf(m, at)
			next, _, err := s.drafts(m, at)
			if err != nil {
				t.Fatal(err)
			}
			if anew, due, err := s.announce(m, at, touched, next); !anew || !due || err != nil {
				t.Fatal(anew, due, err)
			}
			for k := range Kind(replaced) {
				if err := s.files.Move(db.Rename{From: s.draftOf(k, "m", at), To: s.fileOf(k, "m", at)}); err != nil {
					t.Fatal(err)
				}
			}
			wantCount(t, s, "m", 2881)
			mustBeSound(t, s)
			d.Close()

			s = openIn(t, openDB(t, filepath.Join(dir, "db")), dir)
			wantCount(t, s, "m", 2881)
			mustBeSound(t, s)
			late.Time = late.Time.Add(time.Second)
			if done, err := s.Append([]fettle.Reading{late, merged}); err != nil || done.New != 1 || done.Merged != 1 {
				t.Fatal(done, err)
			}
			sealAll(t, s, 1)
			wantCount(t, s, "m", 2882)
			if s.Files().Lost != 0 {
				t.Error("a day was lost")
			}
		})
	}
}

// A folder from before days were closed is taken over: its days can be sealed.
func TestOlderFolder(t *testing.T) {
	dir := t.TempDir()
	d := openDB(t, filepath.Join(dir, "db"))
	s := openIn(t, d, dir)
	fillDays(t, s, "m", 4)
	b := d.NewBatch()
	b.DeleteRange([]byte(openPrefix), db.After([]byte(openPrefix)))
	state := *s.machines["m"].state.Load()
	info := appendInfo(nil, &state)
	info[0] = layout // and what layout 2 added is simply not there
	b.Set(keyOf(nil, infoPrefix, "m"), info[:len(info)-22])
	if err := d.Commit(b, db.Synced); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, d, dir)
	sealAll(t, s, 3)
	wantCount(t, s, "m", 4*1440)
}

func TestRetention(t *testing.T) {
	day := 24 * time.Hour
	s := openStore(t)
	fillDays(t, s, "m", 10)
	fillDays(t, s, "other", 3)
	k := NewKeeper(KeepConfig{Retention: Retention{
		Default: Ages{Raw: 3 * day, Minute: 5 * day, Hour: 7 * day}, Machines: map[string]Ages{"other": {}},
	}}, s, s.log)
	for range 2 { // what was touched since the last round rests
		if err := k.Round(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	// The watermark is in the last minute of the 10th: the 1st to the 6th are
	// more than 3 days before it, and so on.
	byKind := map[string]int{}
	for _, name := range files(t, s) {
		if strings.Contains(name, "machine=m/") {
			byKind[strings.Split(name, "/machine")[0]]++
		}
	}
	if got := fmt.Sprint(byKind); got != "map[readings:3 rollups/1h:7 rollups/1m:5]" {
		t.Errorf("files left are %s", got)
	}
	wantCount(t, s, "m", 4*1440)
	wantCount(t, s, "other", 3*1440)
	if info, _ := s.Info("m"); !info.First.Equal(dayStart.Add(6 * day)) {
		t.Errorf("first reading is at %v", info.First)
	}
	rows := []fettle.Reading{{Machine: "m", Time: dayStart.Add(time.Hour), Values: []fettle.Value{{Sensor: "a", Value: 1}}}}
	done, err := s.Append(rows)
	if err != nil || len(done.Refused) != 1 || fettle.ReasonOf(done.Refused[0].Err) != "older than what is kept" || rows[0].Values != nil {
		t.Errorf("a reading of a time that is not kept did %+v, %v", done, err)
	}
	for _, c := range []struct {
		from, to time.Time
		most     int
		want     string
	}{
		{time.Time{}, time.Time{}, 9000, "1h 3600"},
		{dayStart.Add(5 * day), time.Time{}, 9000, "1m 60"},
		{dayStart.Add(9 * day), time.Time{}, 9000, "raw 0"},
		{dayStart.Add(9 * day), dayStart.Add(9*day + 20*time.Minute), 11, "1m 180"},
		{dayStart.Add(9 * day), time.Time{}, 13, "1h 7200"},
	} {
		p, err := s.Points("m", nil, c.from, c.to, c.most)
		if got := fmt.Sprint(p.Resolution, p.Step.Seconds()); got != c.want || err != nil || len(p.Times) > c.most {
			t.Errorf("from %v with %d points resolution is %s (%d points), %v; expected %s", c.from, c.most, got, len(p.Times), err, c.want)
		}
	}
}

func TestBudget(t *testing.T) {
	s := openStore(t)
	fillDays(t, s, "m", 6)
	fillDays(t, s, "n", 3)
	sealAll(t, s, 7)
	before := s.Files()
	budget := before.Bytes - before.ByKind[Raw]/2
	k := NewKeeper(KeepConfig{Retention: Retention{Budget: budget}}, s, s.log)
	if err := k.Round(context.Background()); err != nil {
		t.Fatal(err)
	}
	after := s.Files()
	if after.Bytes > budget || after.ByKind[Raw] == 0 || after.ByKind[Minute] != before.ByKind[Minute] {
		t.Errorf("files were %+v and are %+v with a budget of %d", before, after, budget)
	}
	wantCount(t, s, "n", 3*1440) // m's oldest days are older, seen from its newest reading
}

// What a crash left of files that are not kept any more goes with the next
// start; nothing else does.
func TestSweep(t *testing.T) {
	s := openStore(t)
	fillDays(t, s, "m", 5)
	sealAll(t, s, 4)
	old := s.fileOf(Raw, "m", dayStart.UnixMicro())
	content, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := s.machine("m")
	if err := s.expire(m, Ages{Raw: 48 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	notes := filepath.Join(filepath.Dir(old), "2026-02-01 notes.txt")
	for _, name := range []string{old, notes} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := len(files(t, s))
	if err := s.sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(files(t, s)); n != left-1 {
		t.Errorf("%d files left of %d, expected that one goes", n, left)
	}
}

// Rows of a day that come while it is sealed are not lost: it is sealed later.
func TestLateWhileSealing(t *testing.T) {
	s := openStore(t)
	fillDays(t, s, "m", 2)
	m, _ := s.machine("m")
	at := dayStart.UnixMicro()
	touched, _ := s.touchedOf(m, at)
	next, _, err := s.drafts(m, at)
	if err != nil {
		t.Fatal(err)
	}
	late := fettle.Reading{Machine: "m", Time: dayStart.Add(time.Second), Values: []fettle.Value{{Sensor: "a", Value: 1}}}
	if _, err := s.Append([]fettle.Reading{late}); err != nil {
		t.Fatal(err)
	}
	if done, err := s.install(m, at, touched, next); done.Done || err != nil {
		t.Errorf("install did %+v, %v", done, err)
	}
	wantCount(t, s, "m", 2881)
	sealAll(t, s, 1)
	wantCount(t, s, "m", 2881)
}

// Rows come in while the disk renames the files of a day that is sealed anew.
// One that is late lies over the new file.
func TestLateWhileRenaming(t *testing.T) {
	p := newPlot(t)
	p.keep(2)
	p.append(t, "mill", dayStart.Add(30*time.Second))
	var syncs atomic.Int64
	p.disk.Set(db.Fault{Of: "machine=mill", AtSync: func() {
		if syncs.Add(1) == kinds+1 { // after the drafts' own
			p.append(t, "mill", dayStart.Add(31*time.Second))
		}
	}})
	if done, err := p.Seal("mill", dayStart); done.Done || err != nil {
		t.Errorf("sealing did %+v, %v", done, err)
	}
	if n := syncs.Load(); n != 2*kinds {
		t.Fatalf("%d syncs, expected one of each draft and each folder", n)
	}
	wantCount(t, p.Store, "mill", 152)
	mustBeSound(t, p.Store)
	p.keep(2)
	if p.openDays("mill") != 1 {
		t.Error("the late row was not sealed")
	}
	wantCount(t, p.Store, "mill", 152)
}
