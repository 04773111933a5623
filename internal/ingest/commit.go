package ingest

import (
	"context"
	"fmt"
	"time"

	"fettle"
	"fettle/internal/readings"
)

// One commit takes at most this much out of the queue: enough for the sync to
// weigh little, and few enough that the first in it do not wait for the last.
const (
	commitRows  = 8192
	commitBytes = 4 << 20
)

// Run commits what comes in until ctx ends and what is left is committed. It
// runs once. An error says that the store did not come back from a commit; what
// was in it was not acknowledged.
func (g *Gate) Run(ctx context.Context) error {
	g.queue.start()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for parcels := g.queue.take(); len(parcels) > 0; parcels = g.queue.take() {
			g.commit(parcels)
		}
	}()
	<-ctx.Done()
	g.queue.close()
	select {
	case <-finished:
		return nil
	case <-time.After(patience):
		// A commit that waits for a full disk ends when the store is closed.
		return fettle.Errorf(fettle.Unavailable, "finish ingest: a commit is waiting for the disk since %s or longer", patience)
	}
}

// A load is what goes into one commit.
type load struct {
	parcels  []*parcel
	outcomes []outcome // by parcel
	rows     []fettle.Reading
	owners   []owner // of rows
}

// owner tells whose a row is: an index in parcels, and one in the parcel's rows.
type owner struct{ parcel, row int }

// commit stores parcels in one commit and answers their senders.
func (g *Gate) commit(parcels []*parcel) {
	l := g.load(parcels)
	if len(l.rows) > 0 {
		done, err := g.store.Append(l.rows)
		if err != nil {
			g.fail(l, err)
			return
		}
		for _, r := range done.Refused {
			g.refuseRow(l, l.owners[r.Row], r.Err)
		}
		g.finish(l, done)
	}
	for i, p := range l.parcels {
		p.answer(l.outcomes[i])
	}
}

// load gathers the rows of parcels whose senders still wait, but for those of
// more new machines than there may be.
func (g *Gate) load(parcels []*parcel) *load {
	rows := 0
	for _, p := range parcels {
		rows += len(p.rows)
	}
	l := &load{
		parcels: make([]*parcel, 0, len(parcels)), outcomes: make([]outcome, 0, len(parcels)),
		rows: make([]fettle.Reading, 0, rows), owners: make([]owner, 0, rows),
	}
	newMachines := map[string]bool{}
	for _, p := range parcels {
		if !p.claim() {
			continue
		}
		l.parcels = append(l.parcels, p)
		l.outcomes = append(l.outcomes, outcome{})
		for i, r := range p.rows {
			who := owner{len(l.parcels) - 1, i}
			if bad := g.admit(r.Machine, newMachines); bad != nil {
				g.refuseRow(l, who, bad)
				continue
			}
			l.rows = append(l.rows, r)
			l.owners = append(l.owners, who)
		}
	}
	return l
}

// admit checks the limit of machines, those new in this commit counted in.
func (g *Gate) admit(machine string, newMachines map[string]bool) *fettle.Error {
	g.mu.RLock()
	_, known := g.arrived[machine]
	count := len(g.arrived)
	g.mu.RUnlock()
	if known || newMachines[machine] {
		return nil
	}
	if count+len(newMachines) >= g.cfg.MaxMachines {
		return fettle.BadField(reasonMachines, "machine", machine, fmt.Sprintf("one of the machines known; their limit of %d is reached", g.cfg.MaxMachines))
	}
	newMachines[machine] = true
	return nil
}

func (g *Gate) refuseRow(l *load, who owner, err *fettle.Error) {
	p := l.parcels[who.parcel]
	g.books.refuseReading(p.rows[who.row], err)
	l.outcomes[who.parcel].refused = append(l.outcomes[who.parcel].refused, p.at(p.places[who.row], err))
}

// fail answers the senders of a commit that did not happen.
func (g *Gate) fail(l *load, err error) {
	for i, p := range l.parcels {
		l.outcomes[i].err = err
		if p.done == nil {
			g.books.drop(len(p.rows))
		}
		p.answer(l.outcomes[i])
	}
}

// finish counts what a commit stored and tells of it.
func (g *Gate) finish(l *load, done readings.Appended) {
	stored := l.rows[:0]
	for i, r := range l.rows {
		if len(r.Values) > 0 { // else none of its sensors could be stored
			stored = append(stored, r)
			l.outcomes[l.owners[i].parcel].stored++
		}
	}
	now := g.cfg.Now()
	g.mu.Lock()
	for _, r := range stored {
		g.arrived[r.Machine] = now
	}
	g.mu.Unlock()
	g.books.commit(done)
	if len(stored) > 0 {
		g.committed(stored)
	}
}
