package forecast

import (
	"encoding/json"
	"sync"
	"time"

	"fettle/internal/db"
)

// prefix is where the store keeps a memory of each machine:
//
//	"f/" machine -> JSON of a record
const prefix = "f/"

// A memory is what the Engine knows of one machine.
type memory struct {
	machine string

	mu sync.Mutex // guards what follows; held for moments only, never in a fit
	record
	trouble error                  // why the newest tick gave no forecast; nil if it did
	loaded  map[string]*forecaster // by the model's name; those in use only
	counted mark                   // rows counted up to a time
	tried   mark                   // rows and time of the last attempt to fit
	unfit   error                  // why that failed for want of rows; nil if it did not

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
	Ticked time.Time     `json:"ticked"` // newest tick that was consumed
	Step   time.Duration `json:"step"`   // the machine's rhythm, for its ticks
	Made   *Made         `json:"made,omitempty"`
	Band   *patchBand    `json:"band,omitempty"`
}

// memory returns what is known of a machine; the caller has made sure that it
// is stored, so that names made up by a visitor cost nothing.
func (e *Engine) memory(machine string) *memory {
	e.mu.Lock()
	m, found := e.memories[machine]
	if !found {
		m = &memory{machine: machine, loaded: map[string]*forecaster{}}
		e.memories[machine] = m
		m.mu.Lock() // others wait until it is read
	}
	e.mu.Unlock()
	if !found {
		defer m.mu.Unlock()
		if err := e.recall(m); err != nil {
			e.log.Error("forecasts before the restart are lost", "machine", machine, "err", err)
		}
	}
	return m
}

func (e *Engine) recall(m *memory) error {
	value, found, err := e.db.Get(keyOf(m.machine))
	if err != nil || !found {
		return err
	}
	if err := json.Unmarshal(value, &m.record); err != nil {
		m.record = record{}
		return err
	}
	return nil
}

// consume books a tick: what was made there, or why nothing was. If the store
// does not take it, the forecast is good all the same.
func (e *Engine) consume(m *memory, at time.Time, made Made, why error) {
	m.mu.Lock()
	if at.After(m.Ticked) {
		m.Ticked = at
	}
	if m.trouble = why; why == nil {
		m.Made = &made
	}
	value, err := json.Marshal(m.record)
	m.mu.Unlock()
	if err == nil {
		batch := e.db.NewBatch()
		batch.Set(keyOf(m.machine), value)
		err = e.db.Commit(batch, db.Lazy)
	}
	if err != nil {
		e.log.Warn("forecast will not outlive a restart", "machine", m.machine, "err", err)
	}
}

func keyOf(machine string) []byte { return db.AppendString([]byte(prefix), machine) }
