package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fettle"
	"fettle/internal/rename"
)

// A Decision is why somebody changes what a version is.
type Decision struct {
	Reason string // one sentence for people; at most 500 bytes
	By     string // who decides: a key's name, a person, a part of fettle; at most 128 bytes
}

// The most of a decision's texts, in bytes.
const (
	maxReason = 500
	maxBy     = fettle.MaxName
)

func (d Decision) check() error {
	if len(d.Reason) > maxReason {
		return fettle.BadField("bad decision", "reason", d.Reason, fmt.Sprintf("at most %d bytes", maxReason))
	}
	if len(d.By) > maxBy {
		return fettle.BadField("bad decision", "by", d.By, fmt.Sprintf("at most %d bytes", maxBy))
	}
	return nil
}

// A Decided is one decision of the past.
type Decided struct {
	Time       time.Time `json:"time" doc:"When it was decided, by the wall clock"`
	Forecaster string    `json:"forecaster"`
	Action     Action    `json:"action" enum:"first,appeared,refitted,waits,promoted,refused,rolled back"`
	Model      string    `json:"model" doc:"The version decided on; after a roll-back the one that serves again"`
	Before     string    `json:"before,omitempty" doc:"The version that served until then"`
	Reason     string    `json:"reason,omitempty"`
	By         string    `json:"by,omitempty"`
}

// An Action is what was decided.
type Action string

// The actions. The first three follow from a version's arrival.
const (
	First      Action = "first"    // nothing served before
	Appeared   Action = "appeared" // someone put it into the folder to serve
	Refitted   Action = "refitted" // the ridge that serves, fitted to more readings
	Waits      Action = "waits"    // a challenger, for what it forecasts in the shadow
	Promoted   Action = "promoted"
	Refused    Action = "refused"
	RolledBack Action = "rolled back"
)

// A book is what was decided about one machine's versions, kept as
// decisions_<machine>.json in the folder of models. A version that the book
// does not name has just arrived, or is a challenger that nobody judged.
type book struct {
	Machine   string              `json:"machine"`
	Champions map[string]string   `json:"champions"` // forecaster -> version
	Versions  map[string]standing `json:"versions"`
	History   []Decided           `json:"history"` // oldest first
}

// A standing is what a version is, unless it is a champion, and since when.
type standing struct {
	State  fettle.ModelState `json:"state,omitempty"` // retired, refused, or challenger in the shadow; "" and not Champions: retired
	Turn   uint64            `json:"turn,omitempty"`  // ascends with every change of champions; 0: it never served
	Since  time.Time         `json:"since"`
	Reason string            `json:"reason,omitempty"`
	By     string            `json:"by,omitempty"`
}

const (
	maxHistory = 100     // decisions that a book keeps
	maxBook    = 4 << 20 // bytes of a book that are read
)

func newBook(machine string) *book {
	return &book{Machine: machine, Champions: map[string]string{}, Versions: map[string]standing{}}
}

func (b *book) clone() *book {
	return &book{
		Machine: b.Machine, Champions: maps.Clone(b.Champions), Versions: maps.Clone(b.Versions),
		History: append([]Decided{}, b.History...),
	}
}

// crown makes a version its forecaster's champion and retires the one that was.
func (b *book) crown(d Decided) {
	d.Before = b.Champions[d.Forecaster]
	turn := uint64(0)
	for _, s := range b.Versions {
		turn = max(turn, s.Turn)
	}
	if before, known := b.Versions[d.Before]; known && d.Before != d.Model {
		before.State, before.Since, before.By = fettle.ModelRetired, d.Time, d.By
		before.Reason = fmt.Sprintf("%s serves instead: %s", d.Model, d.Reason)
		b.Versions[d.Before] = before
	}
	b.Champions[d.Forecaster] = d.Model
	b.Versions[d.Model] = standing{Turn: turn + 1, Since: d.Time, Reason: d.Reason, By: d.By}
	b.note(d)
}

// set notes a version that does not serve.
func (b *book) set(name string, s standing) {
	s.Turn = b.Versions[name].Turn
	b.Versions[name] = s
}

// note adds to the history. A ridge is refitted daily: of several refits in a
// row only the last is kept, or they would push out all else.
func (b *book) note(d Decided) {
	if last := len(b.History) - 1; last >= 0 && d.Action == Refitted && b.History[last].Action == Refitted && b.History[last].Forecaster == d.Forecaster {
		d.Before = b.History[last].Before
		b.History = b.History[:last]
	}
	b.History = append(b.History, d)
	if excess := len(b.History) - maxHistory; excess > 0 {
		b.History = append([]Decided{}, b.History[excess:]...)
	}
}

// forget drops the versions of which there is no folder any more.
func (b *book) forget(present func(name string) bool) {
	for name := range b.Versions {
		if !present(name) {
			delete(b.Versions, name)
		}
	}
	for forecaster, name := range b.Champions {
		if !present(name) {
			delete(b.Champions, forecaster)
		}
	}
}

// parseBook reads a machine's book.
func parseBook(data []byte, machine string) (*book, error) {
	b := newBook(machine)
	if err := json.Unmarshal(data, b); err != nil {
		return nil, err
	}
	if b.Machine != machine {
		return nil, fettle.BadField("bad decisions", "machine", b.Machine, machine+", as in the file's name")
	}
	if b.Champions == nil {
		b.Champions = map[string]string{}
	}
	if b.Versions == nil {
		b.Versions = map[string]standing{}
	}
	for name, s := range b.Versions {
		switch s.State {
		case "", fettle.ModelRetired, fettle.ModelRefused, fettle.ModelChallenger:
		default:
			return nil, fettle.BadField("bad decisions", "versions."+name+".state", string(s.State), "retired, refused, challenger or nothing")
		}
	}
	for forecaster, name := range b.Champions {
		if of, _, ok := parseName(name); !ok || of != machine {
			return nil, fettle.BadField("bad decisions", "champions."+forecaster, name, "a version of "+machine)
		}
		if _, known := b.Versions[name]; !known {
			b.Versions[name] = standing{Reason: "named by hand"}
		}
	}
	return b, nil
}

// The parts of a book's file name.
const (
	bookPrefix = "decisions_"
	bookSuffix = ".json"

	damagedSuffix = ".damaged" // behind the name of one that could not be read
)

func bookName(machine string) string { return bookPrefix + escape(machine) + bookSuffix }

// machineOfBook is the machine whose book has this file name.
func machineOfBook(name string) (machine string, ok bool) {
	rest, ok := strings.CutPrefix(name, bookPrefix)
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, bookSuffix)
	machine = unescape(rest)
	return machine, ok && bookName(machine) == name
}

// readBook reads a machine's book; nil if there is none.
func (f *Folder) readBook(machine string) (*book, error) {
	data, err := readFile(filepath.Join(f.dir, bookName(machine)), maxBook)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseBook(data, machine)
}

// writeBook replaces a machine's book, whole or not at all.
func (f *Folder) writeBook(b *book) (err error) {
	text, err := encodeJSON(b)
	if err != nil {
		return err
	}
	dir, err := f.temporary()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, bookName(b.Machine))
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	if err := syncTree(dir); err != nil {
		return err
	}
	if err := rename.To(path, filepath.Join(f.dir, bookName(b.Machine))); err != nil {
		return err
	}
	return syncFolder(f.dir)
}
