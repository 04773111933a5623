package alarm

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"fettle"
	"fettle/internal/db"
)

// silencePrefix + number of the silence: a fettle.Silence as JSON.
const silencePrefix = "a/s/"

// Bounds of silences. Whoever needs a longer one has to say so again: a machine
// that is forgotten in silence is worse than one that is loud.
const (
	longestSilence = 7 * 24 * time.Hour
	// silenceAway is how far from now one may begin: before, so that nothing is
	// learned from work that is over; after, so that work can be planned.
	silenceAway = 31 * 24 * time.Hour
	// maxSilences bounds those of one machine that are not over.
	maxSilences = 64
	// silencesKept is how many are kept; the oldest that are over leave first.
	silencesKept = 10_000
	maxWhy       = 500 // bytes
)

// Silence notes that nobody is to be told of a machine's alarms for a time. Of
// what is given Machine, Kind, From (zero: now), Until, Why and By count.
func (b *Book) Silence(s fettle.Silence) (fettle.Silence, error) {
	now := b.now().UTC().Truncate(time.Microsecond)
	if s.From.IsZero() {
		s.From = now
	}
	s = fettle.Silence{Machine: s.Machine, Kind: s.Kind, From: s.From.UTC().Truncate(time.Microsecond), Until: s.Until.UTC().Truncate(time.Microsecond), Why: s.Why, By: s.By, Created: now}
	if err := checkSilence(s, now); err != nil {
		return fettle.Silence{}, err
	}
	b.silencing.Lock()
	defer b.silencing.Unlock()
	current := 0
	for _, other := range b.Silences(s.Machine) {
		if other.Until.After(now) {
			current++
		}
	}
	if current >= maxSilences {
		return fettle.Silence{}, fettle.Errorf(fettle.Conflict, "machine %s has %d silences that are not over; end some first", s.Machine, current)
	}
	s.ID = 1
	if all := b.Silences(""); len(all) > 0 {
		s.ID = all[0].ID + 1
	}
	return s, b.keepSilence(s)
}

func checkSilence(s fettle.Silence, now time.Time) error {
	length := s.Until.Sub(s.From)
	switch {
	case s.Kind != fettle.SilenceNotices && s.Kind != fettle.SilenceService:
		return fettle.BadField("bad silence", "kind", strconv.Quote(string(s.Kind)), "silence or service")
	case length <= 0 || length > longestSilence:
		return fettle.BadField("bad silence", "for", length.String(), "more than 0s, at most 168h (7 days); silence it again then, if it has to be")
	case s.From.Sub(now).Abs() > silenceAway:
		return fettle.BadField("bad silence", "from", s.From.Format(time.RFC3339), "a time at most 744h (31 days) from now")
	case s.Why == "" || len(s.Why) > maxWhy || !utf8.ValidString(s.Why):
		return fettle.BadField("bad silence", "why", strconv.Quote(fettle.Shorten(s.Why)), fmt.Sprintf("the reason, in 1 to %d bytes of UTF-8", maxWhy))
	case s.By == "" || len(s.By) > fettle.MaxName || !utf8.ValidString(s.By):
		return fettle.BadField("bad silence", "by", strconv.Quote(fettle.Shorten(s.By)), fmt.Sprintf("who asks for it, in 1 to %d bytes of UTF-8", fettle.MaxName))
	default:
		return nil
	}
}

// EndSilence ends a silence before its time. One that has not begun leaves no
// time behind that is not learned from. NotFound: there is none of that number;
// Conflict: it is over.
func (b *Book) EndSilence(id uint64, by string) (fettle.Silence, error) {
	now := b.now().UTC().Truncate(time.Microsecond)
	b.silencing.Lock()
	defer b.silencing.Unlock()
	all := b.Silences("")
	i := slices.IndexFunc(all, func(s fettle.Silence) bool { return s.ID == id })
	if i < 0 {
		return fettle.Silence{}, fettle.Errorf(fettle.NotFound, "no silence %d", id)
	}
	s := all[i]
	if !s.Until.After(now) {
		return fettle.Silence{}, fettle.Errorf(fettle.Conflict, "silence %d was over at %s", id, s.Until.Format(time.RFC3339))
	}
	s.Until, s.EndedBy = now, by
	if s.From.After(now) {
		s.Until = s.From
	}
	return s, b.keepSilence(s)
}

// keepSilence makes a new or changed silence count. The caller holds silencing.
func (b *Book) keepSilence(s fettle.Silence) error {
	batch := b.db.NewBatch()
	if err := set(batch, silenceKey(s.ID), s); err != nil {
		return err
	}
	b.mu.RLock()
	list := slices.DeleteFunc(slices.Clone(b.silences), func(old fettle.Silence) bool { return old.ID == s.ID })
	b.mu.RUnlock()
	list = append(list, s)
	slices.SortFunc(list, func(a, b fettle.Silence) int { return cmp.Compare(a.ID, b.ID) })
	for i := 0; len(list) > silencesKept && i < len(list); {
		if list[i].Until.After(s.Created) {
			i++
			continue
		}
		batch.Delete(silenceKey(list[i].ID))
		list = slices.Delete(list, i, i+1)
	}
	if err := b.db.Commit(batch, db.Synced); err != nil {
		return fmt.Errorf("keep silence of %s: %w", s.Machine, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silences = list
	return nil
}

// Silences lists a machine's silences, or with "" those of all, the newest first.
func (b *Book) Silences(machine string) []fettle.Silence {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []fettle.Silence
	for _, s := range slices.Backward(b.silences) {
		if machine == "" || s.Machine == machine {
			list = append(list, s)
		}
	}
	return list
}

// Silenced is the silence that a machine is in at a time: of several, the one
// that lasts longest.
func (b *Book) Silenced(machine string, at time.Time) (longest fettle.Silence, found bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range b.silences {
		if s.Machine == machine && s.At(at) && s.Until.After(longest.Until) {
			longest, found = s, true
		}
	}
	return longest, found
}

// SilencedWithin returns the parts of a machine's time that are in a silence and
// have a part in [from, to), ascending and apart.
func (b *Book) SilencedWithin(machine string, from, to time.Time) []fettle.Interval {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []fettle.Interval
	for _, s := range b.silences {
		if s.Machine == machine && s.From.Before(to) && s.Until.After(from) && s.Until.After(s.From) {
			list = append(list, s.Interval())
		}
	}
	return fettle.Union(list)
}

func silenceKey(id uint64) []byte { return db.AppendUint64([]byte(silencePrefix), id) }

// loadSilences reads all silences, ascending by number.
func loadSilences(d *db.DB) ([]fettle.Silence, error) {
	var list []fettle.Silence
	err := d.Ascend([]byte(silencePrefix), db.After([]byte(silencePrefix)), func(_, value []byte) error {
		var s fettle.Silence
		if err := json.Unmarshal(value, &s); err != nil {
			return err
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read silences: %w", err)
	}
	return list, nil
}
