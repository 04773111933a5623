package alarm

import (
	"slices"

	"fettle"
)

// States to filter by.
const (
	StateAll        = "all"        // every alarm that is kept; the same as ""
	StateOpen       = "open"       // those whose condition lasts
	StateUnanswered = "unanswered" // those that nobody has acknowledged, over or not
)

// A Filter picks alarms. The zero value picks all.
type Filter struct {
	Machine string // "": of all machines
	State   string // one of the states above
	Limit   int    // at most so many; 0: no limit
}

func (f Filter) wants(a fettle.Alarm) bool {
	if f.Machine != "" && f.Machine != a.Machine {
		return false
	}
	switch f.State {
	case StateOpen:
		return a.Open()
	case StateUnanswered:
		return a.Unanswered()
	default:
		return true
	}
}

// List returns the alarms that a filter picks, the newest first.
func (b *Book) List(f Filter) []fettle.Alarm {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var picked []fettle.Alarm
	for _, e := range slices.Backward(b.entries) {
		if f.Limit > 0 && len(picked) == f.Limit {
			break
		}
		if f.wants(e.Alarm) {
			picked = append(picked, e.Alarm)
		}
	}
	return picked
}

// OpenOf returns a machine's open alarms, worst first.
func (b *Book) OpenOf(machine string) []fettle.Alarm {
	b.mu.RLock()
	defer b.mu.RUnlock()
	f := b.files[machine]
	if f == nil {
		return nil
	}
	var open []fettle.Alarm
	for _, e := range f.open {
		open = append(open, e.Alarm)
	}
	slices.SortFunc(open, worstFirst)
	return open
}

// Get returns an alarm; NotFound if there is none of that number.
func (b *Book) Get(id uint64) (fettle.Alarm, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	i, found := b.find(id)
	if !found {
		return fettle.Alarm{}, unknown(id)
	}
	return b.entries[i].Alarm, nil
}
