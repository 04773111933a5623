package alarm

import (
	"cmp"
	"fmt"
	"slices"

	"sync"
	"sync/atomic"
	"time"

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
	if err := b.load(f, name); err != nil {
		return err
	}
	m := b.copyOf(f, name)
	m.sentence = sentence
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

// load reads the rule of a machine, once. The caller holds f.work.
func (b *Book) load(f *file, name string) error {
	if f.loaded {
		return nil
	}
	kept, err := loadRule(b.db, name)
	if err != nil {
		return err
	}
	f.rule, f.loaded = kept, true
	return nil
}

// copyOf is a working copy of what there is on a machine. The caller holds
// f.work.
func (b *Book) copyOf(f *file, name string) *machine {
	m := &machine{name: name, rule: f.rule, limits: *b.limits.Load(), newID: func() uint64 { return b.id.Add(1) }}
	m.rule.Last = slices.Clone(f.rule.Last)
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, e := range f.open {
		copied := *e
		m.open = append(m.open, &copied)
	}
	return m
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
