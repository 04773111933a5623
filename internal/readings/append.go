package readings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"fettle"
	"fettle/internal/db"
)

// MaxTagSets bounds the different sets of tags of one machine. Tags are meant
// for what seldom changes; beyond the bound a row is stored without them.
const MaxTagSets = 256

// never marks a sensor without a value yet.
var never = sample{micros: math.MinInt64}

// Appended tells what became of the rows of one Append.
type Appended struct {
	New, Merged int       // rows that are new, and that were merged into one of the same time
	Late        int       // of both: older than their machine's watermark when they came
	TagsDropped int       // rows stored without their tags, see MaxTagSets
	Refused     []Refusal // rows of which something could not be stored
}

// A Refusal says which row, by its index, was refused wholly or in part.
type Refusal struct {
	Row int
	Err *fettle.Error
}

// refuse refuses rows wholly: the stored row of their time cannot be read, and
// they must not keep the others from being stored.
func (a *Appended) refuse(rows []fettle.Reading, which []int, err error) {
	for _, i := range which {
		rows[i].Values = nil
		a.Refused = append(a.Refused, Refusal{i, &fettle.Error{Kind: fettle.Internal, Reason: "stored row is damaged", Err: err}})
	}
}

// scratch is memory that Append uses again each time.
type scratch struct {
	key, value []byte
	ids        []uint32
	old        []fettle.Value
}

// Append stores rows of any machines in one synced commit, merging those that
// have the same machine and time as another. Rows are what the gate lets
// through: checked, with a time, values sorted.
//
// A machine holds fettle.MaxSensors sensors; new ones beyond them are taken
// out of rows[i].Values and reported, the rest of the row is stored. A row that
// has no values left is not. An error means that nothing was stored.
func (s *Store) Append(rows []fettle.Reading) (Appended, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	var done Appended
	batch := s.db.NewBatch()
	changes := s.changes(rows, &done)
	for _, c := range changes {
		if err := s.stage(batch, c, rows, &done); err != nil {
			return Appended{}, fmt.Errorf("append readings: %w", err)
		}
	}
	if batch.Len() == 0 {
		return done, nil
	}
	if err := s.commit(batch, changes); err != nil {
		return Appended{}, fmt.Errorf("append readings: %w", err)
	}
	return done, nil
}

// commit makes changes durable and the machines' state.
func (s *Store) commit(batch *db.Batch, changes []*change) error {
	return s.commitAs(db.Synced, batch, changes)
}

func (s *Store) commitAs(durability db.Durability, batch *db.Batch, changes []*change) error {
	// Rows are visible to readers from within the commit on, so the words that
	// they refer to come first.
	for _, c := range changes {
		c.before = c.machine.words.Swap(c.words)
	}
	if err := s.db.Commit(batch, durability); err != nil {
		for _, c := range changes {
			c.machine.words.Store(c.before)
		}
		return err
	}
	s.publish(changes)
	return nil
}

// A change is what an Append makes of one machine, staged until the commit.
type change struct {
	machine *machine
	rows    []int // indexes of the machine's rows, first as they came, then by time
	newest  int64 // watermark while they are counted

	before *words
	words  *words             // a copy, to be published; apart from the change, which must not live on in it
	state  *state             // as words
	ids    map[string]uint32  // numbers of sensors not in machine.ids
	tagIDs map[string]uint32  // numbers of tag sets not in machine.tagIDs
	tags   map[string]string  // of the row before, which most rows share
	days   map[int64]*openDay // of machine.open: copies of those touched, nil for those that went
	today  *touchedDay        // the day of the row that is being staged
	bytes  int                // encoded rows

	tagNumber uint32 // of tags; 0: none yet
	other     bool   // something else in the state changed
	stale     bool   // a row older than the saved newest values changed one of them
	saved     bool   // the newest values are in the batch
}

// changes sorts the rows by machine and counts the late ones.
func (s *Store) changes(rows []fettle.Reading, done *Appended) []*change {
	var changes []*change
	var last *change // rows mostly come in runs of one machine
	byName := map[string]*change{}
	for i := range rows {
		c := last
		if c == nil || c.machine.name != rows[i].Machine {
			c = byName[rows[i].Machine]
		}
		if c == nil {
			c = s.newChange(rows[i].Machine)
			byName[rows[i].Machine] = c
			changes = append(changes, c)
		}
		last = c
		c.rows = append(c.rows, i)
		micros := rows[i].Time.UnixMicro()
		if micros < c.newest {
			done.Late++
		}
		c.newest = max(c.newest, micros)
	}
	return changes
}

func (s *Store) newChange(name string) *change {
	m, found := s.machine(name)
	if !found {
		m = newMachine(name)
	}
	words, state := *m.words.Load(), *m.state.Load()
	// Readers may hold what these slices share with the published ones.
	words.sensors = slices.Clip(words.sensors)
	words.tagSets = slices.Clip(words.tagSets)
	state.latest = slices.Clone(state.latest)
	c := &change{machine: m, words: &words, state: &state, newest: math.MinInt64}
	if state.rows > 0 {
		c.newest = state.last
	}
	return c
}

// stage puts one machine's rows and all that changes with them into the batch.
func (s *Store) stage(batch *db.Batch, c *change, rows []fettle.Reading, done *Appended) error {
	byTime := func(a, b int) int { return cmp.Compare(rows[a].Time.UnixMicro(), rows[b].Time.UnixMicro()) }
	if !slices.IsSortedFunc(c.rows, byTime) {
		slices.SortStableFunc(c.rows, byTime) // stable: of one time, the last to come wins
	}
	for start := 0; start < len(c.rows); {
		end := start + 1
		for end < len(c.rows) && byTime(c.rows[start], c.rows[end]) == 0 {
			end++
		}
		if err := s.stageRow(batch, c, rows, c.rows[start:end], done); err != nil {
			return err
		}
		start = end
	}
	c.leaveDay(batch)
	c.save(batch)
	return nil
}

// stageRow puts one row, made of all readings of one time, into the batch.
func (s *Store) stageRow(batch *db.Batch, c *change, rows []fettle.Reading, same []int, done *Appended) error {
	var row fettle.Reading
	again := 0
	for _, i := range same {
		if err := c.admit(batch, &rows[i]); err != nil {
			done.Refused = append(done.Refused, Refusal{i, err})
			if len(rows[i].Values) == 0 {
				continue
			}
		}
		if row.Values == nil {
			row = rows[i]
			continue
		}
		row = merged(row, rows[i])
		again++
	}
	if row.Values == nil {
		return nil
	}
	micros := row.Time.UnixMicro()
	if from := c.state.floor[Raw]; micros < from {
		done.refuseOld(rows, same, c.machine.name, from)
		return nil
	}
	if err := s.enterDay(batch, c, dayOf(micros)); err != nil {
		return err
	}
	s.scratch.key = appendMicros(rowsOf(s.scratch.key[:0], c.machine.name), micros)
	found, err := s.lookUp(batch, c, micros, &row)
	if errors.Is(err, errDamaged) {
		done.refuse(rows, same, err)
		return nil
	}
	if err != nil {
		return err
	}
	done.Merged += again
	if found {
		done.Merged++
	} else {
		done.New++
		c.today.newRow()
	}
	tagSet, kept := c.tagSet(batch, row.Tags, s)
	if !kept {
		done.TagsDropped++
	}
	s.scratch.ids = c.numbers(s.scratch.ids[:0], row.Values)
	s.scratch.value = appendRow(s.scratch.value[:0], tagSet, row.Values, s.scratch.ids)
	batch.Set(s.scratch.key, s.scratch.value)
	s.noteIfLate(batch, c, micros)
	c.note(micros, !found, row.Values, s.scratch.ids)
	c.bytes += len(s.scratch.value)
	return nil
}

// lookUp lays row over the stored row of its time, if there is one. Rows newer
// than the watermark, nearly all of them, cost no read. What is in the file of a
// closed day is left there: the row will lie over it.
func (s *Store) lookUp(batch *db.Batch, c *change, micros int64, row *fettle.Reading) (found bool, err error) {
	if c.state.rows == 0 || micros > c.state.last {
		return false, nil
	}
	record, found, err := s.db.Get(s.scratch.key)
	if err != nil {
		return false, err
	}
	if !found {
		return s.inFile(batch, c, micros)
	}
	var tags map[string]string
	s.scratch.old, tags, err = c.words.row(record, s.scratch.old[:0])
	if err != nil {
		return false, damage(c.machine.name, "row", err)
	}
	*row = merged(fettle.Reading{Values: s.scratch.old, Tags: tags}, *row)
	return true, nil
}

func merged(older, newer fettle.Reading) fettle.Reading {
	newer.Values = fettle.Merge(older.Values, newer.Values)
	if newer.Tags == nil {
		newer.Tags = older.Tags
	}
	return newer
}

// note takes a row into the machine's state.
func (c *change) note(micros int64, isNew bool, values []fettle.Value, ids []uint32) {
	if c.state.rows == 0 {
		c.state.first, c.state.last = micros, micros
	}
	c.state.first, c.state.last = min(c.state.first, micros), max(c.state.last, micros)
	if isNew {
		c.state.rows++
	}
	for i, v := range values {
		changed := c.state.note(ids[i], micros, v.Value)
		c.stale = c.stale || changed && micros < c.machine.savedAt
	}
}

// note remembers a value if it is not older than the sensor's newest.
func (s *state) note(sensor uint32, micros int64, value float64) (changed bool) {
	if micros < s.latest[sensor].micros {
		return false
	}
	s.latest[sensor] = sample{micros, value}
	return true
}

// save puts what is known of the machine into the batch. The newest values may
// be many more than a row brings (5,000 sensors that speak one at a time), so
// they are written once the rows since weigh four times as much; Open reads
// these rows instead.
func (c *change) save(batch *db.Batch) {
	if c.bytes == 0 && !c.other {
		return
	}
	batch.Set(keyOf(nil, infoPrefix, c.machine.name), appendInfo(nil, c.state))
	const sampleBytes = 10
	if c.stale || c.other || c.machine.unsaved+c.bytes > 4*sampleBytes*len(c.state.latest) {
		batch.Set(keyOf(nil, latestPrefix, c.machine.name), appendLatest(nil, c.state))
		c.saved = true
	}
}

// publish makes the committed changes the machines' state.
func (s *Store) publish(changes []*change) {
	for _, c := range changes {
		m := c.machine
		if c.bytes == 0 && c.ids == nil && !c.other {
			continue // all its rows were refused
		}
		if c.ids != nil {
			c.state.sensors = slices.Sorted(slices.Values(c.words.sensors))
		}
		isNew := m.state.Swap(c.state).rows == 0
		maps.Copy(m.ids, c.ids)
		maps.Copy(m.tagIDs, c.tagIDs)
		m.unsaved += c.bytes
		for at, open := range c.days {
			if open == nil {
				delete(m.open, at)
			} else {
				m.open[at] = open
			}
		}
		if c.saved {
			m.unsaved, m.savedAt = 0, c.state.last
		}
		if isNew {
			s.mu.Lock()
			s.machines[m.name] = m
			s.mu.Unlock()
		}
	}
}
