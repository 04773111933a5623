package forecast

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"fettle/internal/db"
)

const (
	// saveEvery is after how many ticks a book is saved. What is lost in a crash
	// is scored again from the kept forecasts, which gives the same.
	saveEvery = 10
	// openMost is how many buckets may be open before it is saved in any case.
	openMost = 64
	// bookSteps is how many steps of a sensor a book may have.
	bookSteps = maxContext
)

// A book is what scoring knows of one forecaster of one machine: up to where
// forecasts are scored, how the bands of the model that serves are followed, how
// often they held, and the scores of hours and days that are open. It is saved
// in one commit with its cursor, so that no step is scored twice.
type book struct {
	mu sync.Mutex // always taken after the memory's, if both are; held while scoring

	scored int64  // microseconds: steps that were settled by then are scored
	model  string // whose bands are followed
	refits bool   // it is one that is fitted anew all the time

	sensors []*sensorBook // by name

	oldest  int64 // origin of the oldest kept forecast with steps to come; 0 if there is none
	newest  int64 // origin of the newest kept forecast
	until   int64 // when the last step of any kept forecast is
	slowest int64 // longest step of those with steps to come

	open    map[bucketKey]*bucket
	unsaved int   // ticks since it was saved; saveEvery if it must be, because bands began anew
	cleared int64 // day up to which old records were last removed
	packed  int64 // origin up to which kept forecasts were packed since the start

	trial *trial // of the challenger in the shadow; nil if there is none
	tried bool   // the store has something of a trial
}

// A sensorBook is one sensor's part.
type sensorBook struct {
	name    string
	since   int64     // origin of the first forecast that its bands are followed by
	learned uint64    // such forecasts so far
	least   float32   // scale that its bands do not fall below
	tracked []tracked // (steps); empty if there is no band
	held    []ledger  // (steps)
}

// sensor finds a sensor's part, or opens it.
func (b *book) sensor(name string) *sensorBook {
	i, found := slices.BinarySearchFunc(b.sensors, name, func(s *sensorBook, name string) int { return cmp.Compare(s.name, name) })
	if !found {
		b.sensors = slices.Insert(b.sensors, i, &sensorBook{name: name})
	}
	return b.sensors[i]
}

// take notes a forecast that is to be kept; false if it is too close to the one
// before.
func (b *book) take(k kept) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fits(k) {
		return false
	}
	b.wait(k)
	return true
}

// takes tells whether take would.
func (b *book) takes(k kept) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fits(k)
}

func (b *book) fits(k kept) bool {
	return len(k.sensors) > 0 && k.origin > b.newest && k.origin-b.newest >= int64(k.steps)*k.step/keptWaiting
}

func (b *book) wait(k kept) {
	if b.oldest == 0 {
		b.oldest, b.slowest = k.origin, 0
	}
	for _, s := range k.sensors {
		b.sensor(s.name)
	}
	b.newest = k.origin
	b.until = max(b.until, k.until())
	b.slowest = max(b.slowest, k.step)
}

// openBook reads a book back, and the kept forecasts that it does not know yet.
// What was scored since it was saved is scored again at the next tick, and then
// saved. The book's mutex is held.
func (e *Engine) openBook(m *memory) error {
	b := &m.book
	value, found, err := e.db.Get(m.recordKey(kindBook))
	if err != nil {
		return err
	}
	if found {
		if err := b.read(value); err != nil {
			return err
		}
	}
	b.unsaved = saveEvery - 1
	if err := e.openTrial(m); err != nil {
		return err
	}
	return e.eachKept(m, b.newest+1, math.MaxInt64, func(k kept) error {
		b.wait(k)
		return nil
	})
}

// saveBegun saves a book whose bands began anew, before a forecast with them is
// kept: when that is scored after a crash, the same bands learn from it.
func (e *Engine) saveBegun(m *memory) error {
	m.book.mu.Lock()
	defer m.book.mu.Unlock()
	if m.book.unsaved < saveEvery {
		return nil
	}
	return e.saveBook(m)
}

// saveBook commits a book with its open buckets, and once a day removes what is
// not kept any longer. The book's mutex is held.
func (e *Engine) saveBook(m *memory) error {
	b := &m.book
	batch := e.db.NewBatch()
	for key, open := range b.open {
		whole, err := e.stored(m, key)
		if err != nil {
			return err
		}
		whole.merge(open)
		batch.Set(m.bucketKey(key), whole.append(nil))
	}
	batch.Set(m.recordKey(kindBook), b.append(nil))
	if b.trial != nil || b.tried {
		m.saveTrial(batch)
	}
	if err := e.packKept(m, batch); err != nil {
		return fmt.Errorf("pack forecasts of %s: %w", m.machine, err)
	}
	if today := b.scored - b.scored%dayMicros; today != b.cleared {
		b.cleared = today
		for kind, kept := range map[byte]time.Duration{kindKept: keptFor, kindPacked: keptFor + time.Duration(m.plan.span())*time.Microsecond, kindHour: hoursKept, kindDay: daysKept} {
			prefix := m.recordKey(kind)
			batch.DeleteRange(prefix, db.AppendMicros(m.recordKey(kind), time.UnixMicro(b.scored).Add(-kept)))
		}
	}
	if err := e.db.Commit(batch, db.Lazy); err != nil {
		return fmt.Errorf("save scores of %s: %w", m.machine, err)
	}
	b.unsaved, b.tried = 0, b.trial != nil
	clear(b.open)
	return nil
}

// stored is what the store has of a bucket. What cannot be read there is given
// up.
func (e *Engine) stored(m *memory, key bucketKey) (*bucket, error) {
	b := newBucket()
	value, found, err := e.db.Get(m.bucketKey(key))
	if err != nil || !found {
		return b, err
	}
	if err := b.read(value); err != nil {
		e.log.Error("scores are lost", "machine", m.machine, "forecaster", m.plan.Name, "from", time.UnixMicro(key.at).UTC(), "err", err)
	}
	return b, nil
}

const bookLayout = 1

// append writes a book; the open buckets have records of their own.
func (b *book) append(dst []byte) []byte {
	p := packer{append(dst, bookLayout)}
	p.text(b.model)
	p.bool(b.refits)
	for _, v := range []int64{b.scored, b.oldest, b.newest, b.until, b.slowest} {
		p.int(v)
	}
	p.uint(uint64(len(b.sensors)))
	for _, s := range b.sensors {
		p.text(s.name)
		p.int(s.since)
		p.uint(s.learned)
		p.float32(s.least)
		p.uint(uint64(len(s.tracked)))
		for _, t := range s.tracked {
			p.float32(t.scale)
			p.float32(t.below)
			p.float32(t.above)
		}
		p.uint(uint64(len(s.held)))
		for _, l := range s.held {
			p.uint(uint64(l.scored))
			p.float32(l.width)
			p.bytes = append(p.bytes, l.blocks[:]...)
		}
	}
	return p.bytes
}

// read reads what append wrote.
func (b *book) read(value []byte) error {
	u := unpacker{bytes: value}
	if layout := u.byte(); layout != bookLayout {
		return fmt.Errorf("scores have layout %d; this program knows %d", layout, bookLayout)
	}
	model, refits := u.text(), u.byte() == 1
	var times [5]int64
	for i := range times {
		times[i] = u.int()
	}
	sensors := make([]*sensorBook, u.count(len(u.bytes)))
	for i := range sensors {
		s := &sensorBook{name: u.text(), since: u.int(), learned: u.uint(), least: u.float32()}
		s.tracked = make([]tracked, u.count(min(bookSteps, len(u.bytes)/12)))
		for h := range s.tracked {
			s.tracked[h] = tracked{u.float32(), u.float32(), u.float32()}
		}
		s.held = make([]ledger, u.count(min(bookSteps, len(u.bytes))))
		for h := range s.held {
			s.held[h].scored, s.held[h].width = uint32(u.uint()), u.float32()
			copy(s.held[h].blocks[:], u.take(len(s.held[h].blocks)))
		}
		sensors[i] = s
		if u.bad || i > 0 && s.name <= sensors[i-1].name {
			return errors.New("scores are damaged")
		}
	}
	if u.bad {
		return errors.New("scores are damaged")
	}
	b.model, b.refits, b.sensors = model, refits, sensors
	b.scored, b.oldest, b.newest, b.until, b.slowest = times[0], times[1], times[2], times[3], times[4]
	return nil
}
