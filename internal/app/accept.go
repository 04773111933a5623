package app

import (
	"sync"

	"fettle"
)

// turns lets those who judge a machine, and people whose word changes how it is
// judged, take turns.
type turns struct {
	mu    sync.Mutex
	doors map[string]*sync.Mutex // by machine
}

// take waits for a machine's turn; the caller ends it.
func (t *turns) take(machine string) (end func()) {
	t.mu.Lock()
	door := t.doors[machine]
	if door == nil {
		if t.doors == nil {
			t.doors = map[string]*sync.Mutex{}
		}
		door = &sync.Mutex{}
		t.doors[machine] = door
	}
	t.mu.Unlock()
	door.Lock()
	return door.Unlock
}

// accept: a person says that what an alarm tells of is normal now. The judge
// learns it first: were the alarms ended and the judge not told, the next rows
// would raise new ones; the other way round the alarms end by themselves.
func (p *pipeline) accept(id uint64, by, note string) (fettle.Alarm, error) {
	alarm, err := p.alarms.Acceptable(id, by, note)
	if err != nil {
		return fettle.Alarm{}, err
	}
	defer p.turns.take(alarm.Machine)()
	if alarm, err = p.alarms.Acceptable(id, by, note); err != nil { // it ended meanwhile
		return fettle.Alarm{}, err
	}
	since, err := p.judge.Accept(alarm.Machine, alarm.RaisedAt)
	if err != nil {
		return fettle.Alarm{}, err
	}
	p.log.Info("how a machine is now counts as normal", "machine", alarm.Machine, "since", since, "by", by)
	return p.alarms.Accept(id, by, note)
}
