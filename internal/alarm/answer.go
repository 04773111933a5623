package alarm

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"fettle"
	"fettle/internal/db"
)

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

// Accept ends all open alarms of the machine that an alarm is of: a person said
// that how it is now is normal. Who had not been answered is answered with that.
// Whoever judges must know of it before, or the next rows raise new ones.
// NotFound: no such alarm; Conflict: it is over.
func (b *Book) Accept(id uint64, by, note string) (fettle.Alarm, error) {
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
	if err := b.load(f, alarm.Machine); err != nil {
		return fettle.Alarm{}, err
	}
	m := b.copyOf(f, alarm.Machine)
	if !slices.ContainsFunc(m.open, func(e *entry) bool { return e.Alarm.ID == id }) {
		return fettle.Alarm{}, over(id)
	}
	m.accept(b.now().UTC(), by, note)
	if err := b.commit(f, m, true); err != nil {
		return fettle.Alarm{}, fmt.Errorf("accept what alarm %d tells of: %w", id, err)
	}
	f.rule = m.rule
	for _, alarm := range m.told {
		b.emit(alarm)
	}
	return b.Get(id)
}

// Acceptable tells why an alarm cannot be accepted; nil if it can.
func (b *Book) Acceptable(id uint64, by, note string) (fettle.Alarm, error) {
	if err := checkAnswer(by, note); err != nil {
		return fettle.Alarm{}, err
	}
	alarm, err := b.Get(id)
	if err == nil && !alarm.Open() {
		err = over(id)
	}
	return alarm, err
}

func over(id uint64) error {
	return fettle.Errorf(fettle.Conflict, "alarm %d is over: the machine is as it was before, and there is nothing to accept", id)
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
		return fettle.BadField("bad name", "by", strconv.Quote(by), fmt.Sprintf("who it is, in 1 to %d bytes of UTF-8", fettle.MaxName))
	case len(note) > maxNote || !utf8.ValidString(note):
		return fettle.BadField("bad note", "note", fmt.Sprintf("%d bytes", len(note)), fmt.Sprintf("at most %d bytes of UTF-8", maxNote))
	default:
		return nil
	}
}

func unknown(id uint64) error { return fettle.Errorf(fettle.NotFound, "no alarm %d", id) }
