package readings

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// A plot is a store on a disk in memory, with days of two machines that are over.
type plot struct {
	*Store
	disk   db.MemoryDisk
	keeper *Keeper
	log    bytes.Buffer
	want   string // all readings
}

func newPlot(t *testing.T) *plot {
	t.Helper()
	p := &plot{disk: db.NewMemoryDisk()}
	p.open(t)
	p.keeper = NewKeeper(KeepConfig{Grace: time.Minute, Spread: time.Minute}, p.Store, slog.New(slog.NewTextHandler(&p.log, nil)))
	for day := range 3 {
		for i := range 50 {
			for _, machine := range []string{"lathe", "mill"} {
				p.append(t, machine, dayStart.AddDate(0, 0, day).Add(time.Duration(i)*time.Minute))
			}
		}
	}
	p.want = allRows(t, p.Store)
	return p
}

func (p *plot) open(t *testing.T) {
	t.Helper()
	d, err := p.disk.Open("/data/db", db.Options{MemTableBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	p.Store = openIn(t, d, "/data")
}

func (p *plot) append(t *testing.T, machine string, when time.Time) {
	t.Helper()
	if _, err := p.Append([]fettle.Reading{{Machine: machine, Time: when, Values: []fettle.Value{{Sensor: "a", Value: float64(when.Unix() % 1000)}}}}); err != nil {
		t.Fatal(err)
	}
}

// keep is some rounds of the keeper. Days are sealed from the second on.
func (p *plot) keep(rounds int) {
	for range rounds {
		p.keeper.roundSafely(context.Background())
	}
}

func (p *plot) openDays(machine string) int {
	p.writing.Lock()
	defer p.writing.Unlock()
	return len(p.machines[machine].open)
}

func (p *plot) files() (n int) {
	for _, machine := range p.names() {
		for k := range Kind(kinds) {
			names, _ := p.Store.files.List(p.folderOf(k, machine))
			n += len(names)
		}
	}
	return n
}

func allRows(t *testing.T, s *Store) string {
	t.Helper()
	var text strings.Builder
	for _, machine := range s.names() {
		if err := s.Range(machine, time.Time{}, time.Time{}, func(r fettle.Reading) error {
			fmt.Fprintln(&text, r)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// On a full disk days stay in the store. It is said once, the status knows, no
// draft takes room that is left, and with room the days are sealed by themselves.
func TestSealingOnAFullDisk(t *testing.T) {
	for name, fault := range map[string]db.Fault{
		"noticed in time":     {Free: 5 << 20},
		"while drafting":      {Of: ".draft", Err: syscall.ENOSPC},
		"while drafting hour": {Of: "1h", Err: syscall.ENOSPC},
		"quota":               {Of: ".draft", Err: syscall.EDQUOT},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			p.disk.Set(fault)
			p.keep(5)
			if err := p.keeper.Trouble(); !db.Full(err) {
				t.Errorf("trouble is %v, expected a full disk", err)
			}
			if n := strings.Count(p.log.String(), "\n"); n != 1 {
				t.Errorf("it was said %d times:\n%s", n, p.log.String())
			}
			if n := p.files(); n > 0 {
				t.Errorf("%d files were left", n)
			}
			if got := allRows(t, p.Store); got != p.want {
				t.Errorf("rows are\n%.500s\nexpected\n%.500s", got, p.want)
			}

			p.disk.Set(db.Fault{})
			p.keep(2)
			if err := p.keeper.Trouble(); err != nil || !strings.Contains(p.log.String(), "again") {
				t.Errorf("trouble is %v, the log says\n%s", err, p.log.String())
			}
			if n := p.files(); n != 2*2*kinds {
				t.Errorf("%d files, expected 3 for each of 2 days of 2 machines", n)
			}
			if got := allRows(t, p.Store); got != p.want {
				t.Errorf("rows are\n%.500s\nexpected\n%.500s", got, p.want)
			}
		})
	}
}

// So it is when sealed days are to be sealed anew, and after a power cut on the
// full disk.
func TestSealingAnewOnAFullDisk(t *testing.T) {
	p := newPlot(t)
	p.keep(2)
	p.append(t, "mill", dayStart.Add(30*time.Second))
	p.want = allRows(t, p.Store)
	for _, fault := range []db.Fault{{Of: ".draft", Err: syscall.ENOSPC}, {Of: "2026", Err: syscall.ENOSPC}} {
		p.disk.Set(fault)
		p.keep(3)
		if err := p.keeper.Trouble(); !db.Full(err) {
			t.Errorf("trouble is %v, expected a full disk", err)
		}
		if got := allRows(t, p.Store); got != p.want {
			t.Errorf("rows are\n%.500s\nexpected\n%.500s", got, p.want)
		}
	}
	after := &plot{disk: p.disk.PowerCut()}
	after.open(t)
	if got := allRows(t, after.Store); got != p.want {
		t.Errorf("after a power cut rows are\n%.500s\nexpected\n%.500s", got, p.want)
	}
	p.disk.Set(db.Fault{})
	p.keep(2)
	if n := p.files(); p.keeper.Trouble() != nil || n != 2*2*kinds || p.openDays("mill") != 1 {
		t.Errorf("with room again: %d files, %v", n, p.keeper.Trouble())
	}
	if got := allRows(t, p.Store); got != p.want {
		t.Errorf("rows are\n%.500s\nexpected\n%.500s", got, p.want)
	}
}

// What is too old goes though the disk is too full for anything else: it may be
// what makes room.
func TestRetentionOnAFullDisk(t *testing.T) {
	p := newPlot(t)
	p.keep(2)
	p.keeper.cfg.Retention.Default = Ages{Raw: 24 * time.Hour, Minute: 24 * time.Hour, Hour: 24 * time.Hour}
	p.disk.Set(db.Fault{Free: 10 << 20})
	p.keep(1)
	if n := p.files(); n != 2*kinds {
		t.Errorf("%d files are left, expected 3 of a day of each of 2 machines", n)
	}
	p.disk.Set(db.Fault{})
}

// A copy that a full disk ends is an error, and nothing else.
func TestCopyToAFullDisk(t *testing.T) {
	p := newPlot(t)
	p.keep(2)
	for i, of := range []string{"db/0", "db/MANIFEST", "db/marker", "db/FORMAT", "readings", "rollups"} {
		dir := fmt.Sprint("/copy-", i)
		p.disk.Set(db.Fault{Of: dir + "/" + of, Err: syscall.ENOSPC})
		if err := p.Copy(context.Background(), dir, dir+"/db"); !db.Full(err) {
			t.Errorf("copy on a disk that is full for %s: %v", of, err)
		}
		p.append(t, "mill", dayStart.AddDate(0, 0, 2).Add(time.Duration(i+100)*time.Minute))
	}
	p.disk.Set(db.Fault{})
	p.want = allRows(t, p.Store)
	if err := p.Copy(context.Background(), "/copy", "/copy/db"); err != nil {
		t.Fatal(err)
	}
	d, err := p.disk.Open("/copy/db", db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	copied := openIn(t, d, "/copy")
	if got := allRows(t, copied); got != p.want {
		t.Errorf("the copy has\n%.500s\nexpected\n%.500s", got, p.want)
	}
	mustBeSound(t, copied)
}

// A disk that takes long to sync holds up no reading while closed days are
// sealed: the drafts are written beside.
func TestSealingOnASlowDisk(t *testing.T) {
	p := newPlot(t)
	p.keep(1)
	syncing, synced := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(syncing) })
	p.disk.Set(db.Fault{Of: "2026", AtSync: func() { begin(); <-synced }})
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		p.keep(1)
	}()
	<-syncing
	for i := range 20 { // all of them before the first file is synced
		p.append(t, "mill", dayStart.AddDate(0, 0, 2).Add(time.Duration(i+100)*time.Minute))
	}
	if n := p.openDays("mill"); n != 3 {
		t.Errorf("%d days are in the store, expected 3: no file is whole yet", n)
	}
	close(synced)
	<-kept
	if n := p.files(); n != 2*2*kinds {
		t.Errorf("%d files", n)
	}
	mustBeSound(t, p.Store)
}
