package forecast

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"fettle"
	"fettle/internal/db"
)

// prefix is where the store keeps a memory of each machine's forecasters:
//
//	"f/" machine             -> JSON of the short one's record
//	"f/" machine forecaster  -> JSON of another's
//
// and, with a letter after the forecaster, also the short one's, what keep.go
// and scorebook.go keep there.
//
// The short one stands where it stood before there were others.
const prefix = "f/"

// recordFormat is the format of a record. Records of format 1 do not say so, and
// read as they are.
const recordFormat = 2

// A memory is what the Engine knows of one forecaster of one machine.
type memory struct {
	machine string
	plan    Forecaster
	pace    *atomic.Pointer[pace] // of the short one; nil: the plan's

	mu sync.Mutex // guards what follows; held for moments only, never in a fit
	record
	trouble error                 // why the newest tick gave no forecast; nil if it did
	loaded  map[string]*predictor // by the model's name; those in use only
	counted mark                  // rows counted up to a time
	tried   mark                  // rows and time of the last attempt to fit
	unfit   error                 // why that failed for want of rows; nil if it did not
	behind  bool                  // live ticks were left out before the one that is due
	swapped string                // the champion for which a forecast was last made between two ticks

	book book // scores, with a mutex of its own

	watching sync.Mutex // guards fresh; held while it is made, and always taken before mu
	fresh    Made       // what whoever watches was last shown between two ticks
}

// A mark is how many rows a machine had up to a time.
type mark struct {
	rows int64
	at   time.Time
}

// A record is the part of a memory that outlives a restart. It is committed
// lazily: whoever loses the newest one makes the same forecast again.
type record struct {
	Format int           `json:"format"` // recordFormat; 0 for 1
	Ticked time.Time     `json:"ticked"` // newest tick that was consumed
	Step   time.Duration `json:"step"`   // the machine's rhythm, for its ticks
	Rhythm *rhythm       `json:"rhythm,omitempty"`
	Made   *Made         `json:"made,omitempty"`
	Band   *patchBand    `json:"band,omitempty"`
}

// memoriesOf returns what is known of a machine, a memory for each forecaster in
// the order of the configuration. The caller has made sure that the machine is
// stored, so that names made up by a visitor cost nothing.
func (e *Engine) memoriesOf(machine string) []*memory {
	e.mu.Lock()
	all, found := e.memories[machine]
	if !found {
		for _, plan := range e.cfg.Forecasters {
			m := &memory{machine: machine, plan: plan, loaded: map[string]*predictor{}}
			if plan.Name == fettle.ShortForecaster {
				m.pace = &e.pace
			}
			m.mu.Lock() // others wait until it is read
			m.book.mu.Lock()
			all = append(all, m)
		}
		e.memories[machine] = all
	}
	e.mu.Unlock()
	if !found {
		for _, m := range all {
			if err := e.recall(m); err != nil {
				e.log.Error("forecasts before the restart are lost", "machine", machine, "forecaster", m.plan.Name, "err", err)
			}
			if err := e.openBook(m); err != nil {
				e.log.Error("bands begin anew", "machine", machine, "forecaster", m.plan.Name, "err", err)
			}
			m.book.mu.Unlock()
			m.mu.Unlock()
		}
	}
	return all
}

// recall reads a memory's record; its mutex is held.
func (e *Engine) recall(m *memory) error {
	value, found, err := e.db.Get(m.key())
	if err != nil || !found {
		return err
	}
	var kept record
	if err := json.Unmarshal(value, &kept); err != nil {
		return err
	}
	if kept.Format > recordFormat {
		return fmt.Errorf("record has format %d, this program knows up to %d", kept.Format, recordFormat)
	}
	if kept.Made != nil && kept.Made.Forecaster == "" {
		kept.Made.Forecaster = fettle.ShortForecaster
	}
	m.record = kept
	return nil
}

// consume books a tick: what was made there, or why nothing was, and what of it
// is kept to be scored, together with its shadow. If the store does not take it,
// the forecast is good all the same.
func (e *Engine) consume(m *memory, at time.Time, made Made, keep, shadow kept, why error) {
	if why == nil {
		if err := e.saveBegun(m); err != nil {
			e.log.Warn("bands will not outlive a restart", "machine", m.machine, "err", err)
		}
	}
	m.mu.Lock()
	if at.After(m.Ticked) {
		m.Ticked = at
	}
	if m.trouble = why; why == nil {
		if !m.plan.own() {
			made.Window = fettle.Window{} // long, and only the old rule asks for one
		}
		m.Made = &made
	}
	value, err := m.pack()
	m.mu.Unlock()
	if err == nil {
		batch := e.db.NewBatch()
		batch.Set(m.key(), value)
		if why == nil && m.book.take(keep) {
			batch.Set(m.keptKey(keep.origin), keep.append(nil))
			if len(shadow.sensors) > 0 {
				batch.Set(m.shadowKey(shadow.origin), shadow.append(nil))
			}
		}
		err = e.db.Commit(batch, db.Lazy)
	}
	if err != nil {
		e.log.Warn("forecast will not outlive a restart", "machine", m.machine, "err", err)
	}
}

// pack writes a memory's record. Its mutex is held.
func (m *memory) pack() ([]byte, error) {
	m.Format = recordFormat
	return json.Marshal(m.record)
}

func (m *memory) key() []byte {
	key := db.AppendString([]byte(prefix), m.machine)
	if m.plan.Name == fettle.ShortForecaster {
		return key
	}
	return db.AppendString(key, m.plan.Name)
}
