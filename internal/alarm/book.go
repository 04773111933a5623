package alarm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"fettle"
	"fettle/internal/db"
)

// maxKept bounds the alarms kept; the oldest that are over leave first.
const maxKept = 10_000

// A Book holds the alarms of all machines. All methods may be called at the
// same time; verdicts of one machine come from one goroutine at a time.
type Book struct {
	db   *db.DB
	now  func() time.Time
	emit func(fettle.Alarm)
	id   atomic.Uint64 // of the newest alarm

	limits atomic.Pointer[Limits]

	// Outbox, if there is one, keeps what people are to be told. It is set
	// before the first verdicts come.
	Outbox Outbox

	silencing sync.Mutex // held while a silence is made or ended, commit included

	mu       sync.RWMutex     // guards what follows; held for moments, never over a commit
	entries  []*entry         // ascending by number
	files    map[string]*file // by machine
	silences []fettle.Silence // ascending by number; replaced, never changed
}

// An Outbox adds to the commit of a machine's alarms, which was judged up to a
// time, what is to be told of them; so neither is on disk without the other.
// committed is called once they are.
type Outbox interface {
	Note(batch *db.Batch, until time.Time, changed []fettle.Alarm) (committed func(), err error)
}

// A file is what the book has on one machine.
type file struct {
	work   sync.Mutex // held while something of the machine changes, commit and telling included
	rule   rule       // guarded by work
	loaded bool       // whether rule was read; guarded by work
	open   []*entry   // guarded by the book's mu, oldest first
}

// Open reads the alarms that are kept in d. now is the wall clock, for the time
// of an answer. emit is told of every change of an alarm once it is committed,
// in order for each machine; it may ask the book anything, but change nothing
// in it.
func Open(d *db.DB, now func() time.Time, emit func(fettle.Alarm)) (*Book, error) {
	entries, err := loadEntries(d)
	if err != nil {
		return nil, err
	}
	silences, err := loadSilences(d)
	if err != nil {
		return nil, err
	}
	b := &Book{db: d, now: now, emit: emit, entries: entries, silences: silences, files: map[string]*file{}}
	b.SetLimits(DefaultLimits())
	for _, e := range entries {
		b.id.Store(e.Alarm.ID)
		if e.Alarm.Open() {
			f := b.file(e.Alarm.Machine)
			f.open = append(f.open, e)
		}
	}
	return b, nil
}

// SetLimits changes the scores at which alarms are raised and end, for verdicts
// that are followed from now on. An open alarm stays open until it ends.
func (b *Book) SetLimits(l Limits) { b.limits.Store(&l) }

func (b *Book) file(machine string) *file {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.files[machine]
	if f == nil {
		f = &file{}
		b.files[machine] = f
	}
	return f
}

// Apply follows the next verdicts on a machine, ascending in time. Verdicts up
// to the newest that was followed before are left out, so a batch may come
// twice. sentence says in words why a verdict is anomalous. Changes of alarms
// are on disk when Apply returns; what only counts rows may be lost in a crash,
// together with the place up to which rows were counted. After an error nothing
// of the call counts.
func (b *Book) Apply(name string, verdicts []fettle.Verdict, sentence func(fettle.Verdict) string) error {
	f := b.file(name)
	f.work.Lock()
	defer f.work.Unlock()
	if !f.loaded {
		kept, err := loadRule(b.db, name)
		if err != nil {
			return err
		}
		f.rule, f.loaded = kept, true
	}
	m := &machine{name: name, rule: f.rule, limits: *b.limits.Load(), newID: func() uint64 { return b.id.Add(1) }, sentence: sentence}
	m.rule.Last = slices.Clone(f.rule.Last)
	b.mu.RLock()
	for _, e := range f.open {
		copied := *e
		m.open = append(m.open, &copied)
	}
	b.mu.RUnlock()
	for _, v := range verdicts {
		m.follow(v)
	}
	if m.rule.Cursor.Equal(f.rule.Cursor) {
		return nil
	}
	changed := len(m.told) > 0
	m.refresh()
	if err := b.commit(f, m, changed); err != nil {
		return fmt.Errorf("keep alarms of %s: %w", name, err)
	}
	f.rule = m.rule
	for _, alarm := range m.told {
		b.emit(alarm)
	}
	return nil
}

// commit makes a working copy count.
func (b *Book) commit(f *file, m *machine, changed bool) error {
	entries := slices.Concat(m.closed, m.open)
	batch := b.db.NewBatch()
	if err := set(batch, ruleKey(m.name), m.rule); err != nil {
		return err
	}
	for _, e := range entries {
		if err := set(batch, entryKey(e.Alarm.ID), e); err != nil {
			return err
		}
	}
	outlived := b.outlived(entries)
	for _, id := range outlived {
		batch.Delete(entryKey(id))
	}
	durability, noted := db.Lazy, func() {}
	if changed {
		durability = db.Synced
		if b.Outbox != nil {
			var err error
			if noted, err = b.Outbox.Note(batch, m.rule.Cursor, m.told); err != nil {
				return err
			}
		}
	}
	if err := b.db.Commit(batch, durability); err != nil {
		return err
	}
	noted()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		b.put(e)
	}
	b.entries = slices.DeleteFunc(b.entries, func(e *entry) bool {
		_, old := slices.BinarySearch(outlived, e.Alarm.ID)
		return old
	})
	f.open = m.open
	return nil
}

// outlived names, ascending, the alarms that leave because these come.
func (b *Book) outlived(coming []*entry) []uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	surplus := len(b.entries) - maxKept
	for _, e := range coming {
		if _, found := b.find(e.Alarm.ID); !found {
			surplus++
		}
	}
	var ids []uint64
	for _, e := range b.entries {
		if len(ids) >= surplus {
			break
		}
		if !e.Alarm.Open() {
			ids = append(ids, e.Alarm.ID)
		}
	}
	return ids
}

// find returns an alarm's place in entries. The caller holds mu.
func (b *Book) find(id uint64) (int, bool) {
	return slices.BinarySearchFunc(b.entries, id, func(e *entry, id uint64) int { return cmp.Compare(e.Alarm.ID, id) })
}

// put adds an alarm, or puts it in the place of what it was before. The caller
// holds mu.
func (b *Book) put(e *entry) {
	i, found := b.find(e.Alarm.ID)
	if !found {
		b.entries = slices.Insert(b.entries, i, nil)
	}
	b.entries[i] = e
}

// Limits of an answer.
const maxNote = 2000 // bytes

// Acknowledge notes that a person has seen an alarm, and what they wrote. An
// alarm that is over may be acknowledged too. Who has acknowledged it already
// may do so again, and so change the note. NotFound: no such alarm; Conflict:
// somebody else has acknowledged it.
func (b *Book) Acknowledge(id uint64, by, note string) (fettle.Alarm, error) {
	if err := checkAnswer(by, note); err != nil {
		return fettle.Alarm{}, err
	}
	alarm, err := b.Get(id)
	if err != nil {
		return fettle.Alarm{}, err
	}
	f := b.file(alarm.Machine)
	f.work.Lock()
	defer f.work.Unlock()
	b.mu.RLock()
	i, found := b.find(id)
	if !found { // it has left meanwhile
		b.mu.RUnlock()
		return fettle.Alarm{}, unknown(id)
	}
	e := *b.entries[i]
	b.mu.RUnlock()

	if !e.Alarm.Unanswered() {
		if e.Alarm.AcknowledgedBy != by {
			return fettle.Alarm{}, fettle.Errorf(fettle.Conflict, "alarm %d was acknowledged by %s at %s",
				id, e.Alarm.AcknowledgedBy, e.Alarm.AcknowledgedAt.Format(time.RFC3339))
		}
		if note == "" || note == e.Alarm.Note {
			return e.Alarm, nil
		}
	} else {
		now := b.now().UTC()
		e.Alarm.AcknowledgedAt, e.Alarm.AcknowledgedBy = &now, by
	}
	e.Alarm.Note = note
	if e.Alarm.Open() {
		e.Alarm.State = fettle.Acknowledged
	}
	if err := b.commitAnswer(f, &e); err != nil {
		return fettle.Alarm{}, fmt.Errorf("acknowledge alarm %d: %w", id, err)
	}
	b.emit(e.Alarm)
	return e.Alarm, nil
}

func (b *Book) commitAnswer(f *file, e *entry) error {
	batch := b.db.NewBatch()
	if err := set(batch, entryKey(e.Alarm.ID), e); err != nil {
		return err
	}
	if err := b.db.Commit(batch, db.Synced); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(e)
	for i, open := range f.open {
		if open.Alarm.ID == e.Alarm.ID {
			f.open = slices.Clone(f.open)
			f.open[i] = e
		}
	}
	return nil
}

func checkAnswer(by, note string) error {
	switch {
	case by == "" || len(by) > fettle.MaxName || !utf8.ValidString(by):
		return fettle.BadField("bad name", "by", strconv.Quote(by), fmt.Sprintf("who acknowledges, in 1 to %d bytes of UTF-8", fettle.MaxName))
	case len(note) > maxNote || !utf8.ValidString(note):
		return fettle.BadField("bad note", "note", fmt.Sprintf("%d bytes", len(note)), fmt.Sprintf("at most %d bytes of UTF-8", maxNote))
	default:
		return nil
	}
}

func unknown(id uint64) error { return fettle.Errorf(fettle.NotFound, "no alarm %d", id) }
