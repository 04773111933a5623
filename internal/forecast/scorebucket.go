package forecast

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"

	"fettle/internal/db"
)

const (
	// hoursKept and daysKept are how long scores by the hour and by the day are
	// kept, by event time.
	hoursKept = keptFor
	daysKept  = longestAccuracy

	hourMicros = int64(time.Hour / time.Microsecond)
	dayMicros  = 24 * hourMicros
)

// A score is how one step of one sensor came out.
type score struct {
	residual    float64
	banded      bool // there was a band
	under, over bool // the reading lay beyond it
	width       float64
	pinball     float64
	last        float64 // what the last value left unexplained
	hasSeason   bool
	seasonal    float64 // and the season before
}

// An account is the scores of many steps, added up.
type account struct {
	steps, banded, inside, seasons int64

	abs, squares, width, pinball float64
	lastAbs, lastSquares         float64
	seasonalAbs, seasonalSquares float64
}

func (s *account) add(one score) {
	s.steps++
	s.abs += max(one.residual, -one.residual)
	s.squares += one.residual * one.residual
	s.lastAbs += max(one.last, -one.last)
	s.lastSquares += one.last * one.last
	if one.banded {
		s.banded++
		s.width += one.width
		s.pinball += one.pinball
		if !one.under && !one.over {
			s.inside++
		}
	}
	if one.hasSeason {
		s.seasons++
		s.seasonalAbs += max(one.seasonal, -one.seasonal)
		s.seasonalSquares += one.seasonal * one.seasonal
	}
}

func (s *account) merge(o account) {
	for i, n := range o.counts() {
		*s.counts()[i] += *n
	}
	for i, v := range o.floats() {
		*s.floats()[i] += *v
	}
}

func (s *account) counts() [4]*int64 { return [4]*int64{&s.steps, &s.banded, &s.inside, &s.seasons} }

func (s *account) floats() [8]*float64 {
	return [8]*float64{&s.abs, &s.squares, &s.width, &s.pinball, &s.lastAbs, &s.lastSquares, &s.seasonalAbs, &s.seasonalSquares}
}

// An entry is whose scores are added up: one sensor's by one model, of steps
// about equally far ahead.
type entry struct {
	model, sensor string
	group         int
}

// groupOf is the group of a step, counted from 0: step 1 (the first), 2 and 3, 4
// to 7, and so on. Errors grow like a power of how far one looks ahead.
func groupOf(step int) int { return bits.Len(uint(step+1)) - 1 }

// stepsOf are the first and the last step of a group, counted from 1.
func stepsOf(group int) (first, last int) { return 1 << group, 1<<(group+1) - 1 }

// A bucket is the scores of an hour or a day.
type bucket struct{ entries map[entry]*account }

func newBucket() *bucket { return &bucket{map[entry]*account{}} }

func (b *bucket) merge(o *bucket) {
	for of, t := range o.entries {
		b.of(of).merge(*t)
	}
}

type bucketKey struct {
	kind byte
	at   int64 // when it begins, microseconds
}

func (m *memory) bucketKey(k bucketKey) []byte {
	return db.AppendMicros(m.recordKey(k.kind), time.UnixMicro(k.at))
}

// addScore adds a score to its hour and its day.
func (b *book) addScore(to entry, at int64, one score) {
	b.bucket(kindHour, at-floorMod(at, hourMicros)).of(to).add(one)
	b.bucket(kindDay, at-floorMod(at, dayMicros)).of(to).add(one)
}

// bucket is what was added to an hour or a day since the book was saved.
func (b *book) bucket(kind byte, at int64) *bucket {
	key := bucketKey{kind, at}
	open := b.open[key]
	if open == nil {
		if b.open == nil {
			b.open = map[bucketKey]*bucket{}
		}
		open = newBucket()
		b.open[key] = open
	}
	return open
}

func floorMod(a, b int64) int64 { return ((a % b) + b) % b }

const bucketLayout = 1

// append writes a bucket, by model, sensor and group.
func (b *bucket) append(dst []byte) []byte {
	p := packer{append(dst, bucketLayout)}
	p.uint(uint64(len(b.entries)))
	var before entry
	for _, of := range slices.SortedFunc(maps.Keys(b.entries), compareEntries) {
		p.repeated(of.model, before.model)
		p.repeated(of.sensor, before.sensor)
		p.uint(uint64(of.group))
		before = of
		s := b.entries[of]
		for _, n := range s.counts() {
			p.uint(uint64(*n))
		}
		for _, v := range s.floats() {
			p.float(*v)
		}
	}
	return p.bytes
}

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.model, b.model), cmp.Compare(a.sensor, b.sensor), a.group-b.group)
}

// repeated writes a text, or that it is the one before.
func (p *packer) repeated(s, before string) {
	if s == before {
		p.uint(0)
		return
	}
	p.uint(1)
	p.text(s)
}

func (u *unpacker) repeated(before string) string {
	if u.uint() == 0 {
		return before
	}
	return u.text()
}

// read adds what append wrote to a bucket.
func (b *bucket) read(value []byte) error {
	u := unpacker{bytes: value}
	if layout := u.byte(); layout != bucketLayout {
		return fmt.Errorf("scores have layout %d; this program knows %d", layout, bucketLayout)
	}
	var of entry
	for range u.count(len(u.bytes)) {
		of = entry{u.repeated(of.model), u.repeated(of.sensor), u.count(64)}
		var one account
		for _, n := range one.counts() {
			*n = int64(u.uint())
		}
		for _, v := range one.floats() {
			*v = u.float()
		}
		if u.bad {
			return errors.New("scores are damaged")
		}
		b.of(of).merge(one)
	}
	return nil
}

func (b *bucket) of(of entry) *account {
	s := b.entries[of]
	if s == nil {
		s = &account{}
		b.entries[of] = s
	}
	return s
}
