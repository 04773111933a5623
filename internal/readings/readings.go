// Package readings keeps every reading of every machine. Readings come in,
// checked by the gate, through Append; they go out as rows (Range, Last), as
// columns (Window), as no more points than asked for (Points) and as each
// sensor's newest value (Latest). It never judges a reading, and never looks at
// the wall clock.
//
// A row is (machine, time). A second reading with the same pair is merged into
// it sensor by sensor: the last writer of a sensor wins, and a sensor that is
// missing erases nothing. So a redelivered reading changes nothing. The tags
// of the later reading replace those of the earlier, unless it has none.
//
// # Days
//
// Rows of the open day are records in the store. Once a machine's watermark has
// left a day the Keeper seals it: its rows become a Parquet file that anybody's
// tools can read, with rollups of it beside (rollup.go), the catalogue notes
// the files' sizes and checksums, and the records go. Late rows of a closed day
// are records again; they lie over the file until it is sealed anew.
//
//	readings/machine=<name>/2026-03-01.parquet     every reading of the day
//	rollups/1m/machine=<name>/2026-03-01.parquet   each sensor's min, max, mean, count by minute
//	rollups/1h/machine=<name>/2026-03-01.parquet   and by hour
//
// A file is compared with the catalogue each time before it is read. One that
// does not fit is named in the log, renamed to *.damaged and counted; everything
// else serves on.
//
// What is known of a machine (sensors, first and last time, row count, newest
// values) is held in memory and written in the same synced commit as the rows
// it tells of, so it is exact after a crash and ready without a scan. layout.go
// has the bytes.
package readings

import (
	"cmp"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fettle"
	"fettle/internal/days"
	"fettle/internal/db"
)

// Stop ends Range early when yield returns it.
var Stop = db.Stop

// Store holds the readings. All methods may be called at the same time.
type Store struct {
	db  *db.DB
	dir string // data folder, below which the closed days are

	foldsCase   bool // see foldsCase
	mostNumbers int  // see mostNumbers

	files db.Files
	press *days.Press
	log   *slog.Logger

	// Locks, in the order in which they are taken.
	sealing sync.Mutex // held while a day is sealed: drafts have but one name
	filing  sync.Mutex // held while files and catalogue are changed together
	writing sync.Mutex // held by whoever changes rows or what is known of them; guards what is marked "writer's"
	scratch scratch    // writer's
	times   timesCache // writer's

	noteLate bool // writer's: late rows are noted

	mu       sync.RWMutex // guards the map, not the machines
	machines map[string]*machine
}

// machine is what is held in memory of one machine. Readers follow the two
// pointers; the writer replaces what they point to and never changes it.
type machine struct {
	name  string
	words atomic.Pointer[words]
	state atomic.Pointer[state]

	sealedTo atomic.Int64 // end of the newest closed day; set before the commit that closes it

	open    map[int64]*openDay // writer's: days with rows in the store, by their begin
	ids     map[string]uint32  // writer's: sensor -> index in words.sensors
	tagIDs  map[string]uint32  // writer's: encoded tag set -> index in words.tagSets, plus 1
	unsaved int                // writer's: bytes of rows since the newest values were written
	savedAt int64              // writer's: the watermark when they were
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

	floor [kinds]int64 // what is older is not kept any more
	bytes [kinds]int64 // of the files
	lost  int64        // days whose raw file was damaged and set aside
}

func newState() *state { return &state{floor: [kinds]int64{earliest, earliest, earliest}} }

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
	Bytes   int64 // of its files; what is in the store is not told apart by machine
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
		Bytes:   state.bytes[Raw] + state.bytes[Minute] + state.bytes[Hour],
	}
}

func newMachine(name string) *machine {
	m := &machine{name: name, open: map[int64]*openDay{}, ids: map[string]uint32{}, tagIDs: map[string]uint32{}, savedAt: math.MinInt64}
	m.words.Store(&words{})
	m.state.Store(newState())
	m.sealedTo.Store(earliest)
	return m
}

// unknown is the error for a machine without readings.
func unknown(machine string) error {
	return fettle.Errorf(fettle.NotFound, "machine %q has no readings", fettle.Shorten(machine))
}
