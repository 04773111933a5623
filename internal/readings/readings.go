// Package readings keeps every reading of every machine. Readings come in,
// checked by the gate, through Append; they go out as rows (Range, Last), as
// columns (Window) and as each sensor's newest value (Latest). It never
// judges a reading, and never looks at the wall clock.
//
// A row is (machine, time). A second reading with the same pair is merged into
// it sensor by sensor: the last writer of a sensor wins, and a sensor that is
// missing erases nothing. So a redelivered reading changes nothing. The tags
// of the later reading replace those of the earlier, unless it has none.
//
// What is known of a machine (sensors, first and last time, row count, newest
// values) is held in memory and written in the same synced commit as the rows
// it tells of, so it is exact after a crash and ready without a scan. layout.go
// has the bytes.
package readings

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fettle"
	"fettle/internal/db"
)

// Stop ends Range early when yield returns it.
var Stop = db.Stop

// Store holds the readings. All methods may be called at the same time.
type Store struct {
	db *db.DB

	writing sync.Mutex // held by Append; guards what is marked "writer's"
	scratch scratch    // writer's

	mu       sync.RWMutex // guards the map, not the machines
	machines map[string]*machine
}

// machine is what is held in memory of one machine. Readers follow the two
// pointers; the writer replaces what they point to and never changes it.
type machine struct {
	name  string
	words atomic.Pointer[words]
	state atomic.Pointer[state]

	ids     map[string]uint32 // writer's: sensor -> index in words.sensors
	tagIDs  map[string]uint32 // writer's: encoded tag set -> index in words.tagSets, plus 1
	unsaved int               // writer's: bytes of rows since the newest values were written
	savedAt int64             // writer's: the watermark when they were
}

// words are the names that rows refer to by number. They are published before
// the commit of the first row that uses them, the state after it.
type words struct {
	sensors []string
	tagSets []map[string]string
}

// state is a machine's summary. Times are in microseconds since 1970 UTC.
type state struct {
	rows        int64
	first, last int64
	sensors     []string // sorted
	latest      []sample // by sensor number
}

// sample is a sensor's newest value; the sensors of words that a state does
// not reach yet have none.
type sample struct {
	micros int64
	value  float64
}

// Info is the summary of one machine.
type Info struct {
	Machine string
	Sensors []string // sorted; shared, not to be changed
	First   time.Time
	Last    time.Time // newest event time: the machine's watermark
	Rows    int64
}

// Machines lists all machines that have readings, by name.
func (s *Store) Machines() []Info {
	s.mu.RLock()
	machines := slices.Collect(maps.Values(s.machines))
	s.mu.RUnlock()
	infos := make([]Info, len(machines))
	for i, m := range machines {
		infos[i] = m.info()
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.Machine, b.Machine) })
	return infos
}

// Info returns a machine's summary, and whether it has readings at all.
func (s *Store) Info(machine string) (Info, bool) {
	m, found := s.machine(machine)
	if !found {
		return Info{}, false
	}
	return m.info(), true
}

// Latest returns the newest value of each of a machine's sensors, sorted by
// sensor; nil for an unknown machine.
func (s *Store) Latest(machine string) []fettle.Value {
	m, found := s.machine(machine)
	if !found {
		return nil
	}
	state, words := m.state.Load(), m.words.Load()
	values := make([]fettle.Value, 0, len(state.latest))
	for id, sample := range state.latest {
		if sample != never {
			values = append(values, fettle.Value{Sensor: words.sensors[id], Value: sample.value})
		}
	}
	slices.SortFunc(values, func(a, b fettle.Value) int { return strings.Compare(a.Sensor, b.Sensor) })
	return values
}

func (s *Store) machine(name string) (*machine, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, found := s.machines[name]
	return m, found
}

func (m *machine) info() Info {
	state := m.state.Load()
	return Info{
		Machine: m.name,
		Sensors: state.sensors,
		First:   time.UnixMicro(state.first).UTC(),
		Last:    time.UnixMicro(state.last).UTC(),
		Rows:    state.rows,
	}
}

func newMachine(name string) *machine {
	m := &machine{name: name, ids: map[string]uint32{}, tagIDs: map[string]uint32{}, savedAt: math.MinInt64}
	m.words.Store(&words{})
	m.state.Store(&state{})
	return m
}

// unknown is the error for a machine without readings.
func unknown(machine string) error {
	return fettle.Errorf(fettle.NotFound, "machine %q has no readings", fettle.Shorten(machine))
}
