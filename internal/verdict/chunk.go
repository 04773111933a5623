package verdict

import (
	"fmt"
	"math"
	"time"

	"fettle"
)

// A chunk is a run of one machine's verdicts as one record, appended to until
// it is full. A quiet verdict takes four or five bytes.
//
//	┌─────────┬─────┬─────┬───
//	│ version │ row │ row │ …
//	│ 1 byte  │     │     │
//	└─────────┴─────┴─────┴───
//
//	row    time     uvarint   microseconds after the row before; of the first: after the time in the key
//	       score    uvarint   thousandths
//	       causes   uvarint   how many, and 8 more if the machine was still learning
//	cause  name     uvarint   number of its name in this chunk
//	       spelled            only if the number is new: text, float low, float high
//	       share    uvarint   thousandths
//	       value    float
//
// A float is 8 bytes, little endian; a text a uvarint length and that many
// bytes.
type chunk struct {
	first, last time.Time
	rows        int
	bytes       packer
	names       map[spelled]uint64
}

// spelled is what a cause's name stands for in a chunk.
type spelled struct {
	sensor    string
	low, high float64
}

const (
	chunkVersion = 1
	chunkRows    = 256
	chunkBytes   = 4 << 10
	learningFlag = 8 // more than MaxCauses
	thousand     = 1000
)

// full tells whether the next verdict begins a new chunk.
func (c *chunk) full() bool { return c.rows >= chunkRows || len(c.bytes) >= chunkBytes }

func (c *chunk) add(v fettle.Verdict) {
	if c.rows == 0 {
		c.first, c.last = v.Time, v.Time
		c.bytes = packer{chunkVersion}
		c.names = map[spelled]uint64{}
	}
	p := &c.bytes
	p.uint(uint64(v.Time.UnixMicro() - c.last.UnixMicro()))
	p.uint(thousandths(v.Score))
	flags := uint64(len(v.Causes))
	if v.Learning {
		flags |= learningFlag
	}
	p.uint(flags)
	for _, cause := range v.Causes {
		c.addCause(cause)
	}
	c.last = v.Time
	c.rows++
}

func (c *chunk) addCause(cause fettle.Cause) {
	p := &c.bytes
	name := spelled{cause.Sensor, cause.Low, cause.High}
	number, known := c.names[name]
	if !known {
		number = uint64(len(c.names))
		c.names[name] = number
	}
	p.uint(number)
	if !known {
		p.text(name.sensor)
		p.float(name.low)
		p.float(name.high)
	}
	p.uint(uint64(math.Round(cause.Share * thousand)))
	p.float(cause.Value)
}

// thousandths rounds a score, but not across the border between normal and
// anomalous.
func thousandths(score float64) uint64 {
	rounded := uint64(math.Round(score * thousand))
	if score > 1 {
		return max(rounded, thousand+1)
	}
	return rounded
}

// readChunk yields the verdicts of a chunk, ascending. The first one's time is
// in its key.
func readChunk(machine string, first time.Time, record []byte, yield func(fettle.Verdict) error) error {
	u := unpacker{rest: record}
	if version := u.uint(); version != chunkVersion {
		return fmt.Errorf("read verdicts of %s from %s on: %w: version %d, expected %d", machine, first, errDamaged, version, chunkVersion)
	}
	var names []spelled
	for at := first; len(u.rest) > 0; {
		at = at.Add(time.Duration(u.uint()) * time.Microsecond)
		v := fettle.Verdict{Machine: machine, Time: at, Score: float64(u.uint()) / thousand}
		flags := u.uint()
		v.Learning = flags&learningFlag != 0
		for range flags % learningFlag {
			v.Causes = append(v.Causes, readCause(&u, &names))
		}
		if u.err != nil {
			return fmt.Errorf("read verdicts of %s from %s on: %w", machine, first, u.err)
		}
		if err := yield(v); err != nil {
			return err
		}
	}
	return nil
}

func readCause(u *unpacker, names *[]spelled) fettle.Cause {
	number := u.uint()
	if number == uint64(len(*names)) {
		*names = append(*names, spelled{sensor: u.text(), low: u.float(), high: u.float()})
	}
	if number >= uint64(len(*names)) {
		u.fail()
		return fettle.Cause{}
	}
	name := (*names)[number]
	return fettle.Cause{
		Sensor: name.sensor, Low: name.low, High: name.high,
		Share: float64(u.uint()) / thousand, Value: u.float(),
	}
}
