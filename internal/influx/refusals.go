package influx

import (
	"encoding/binary"
	"hash/fnv"
	"math"

	"fettle"
)

// maxRefusals bounds what is remembered of readings that were refused. When it is
// full all of it is forgotten, and they are offered once more.
const maxRefusals = 20_000

// refusals are readings that were refused for good: machine and time, and a hash
// of what the sensors said, for a reading that is corrected is another one.
type refusals map[refusalKey]uint64

type refusalKey struct {
	machine string
	micros  int64
}

func (k refusals) has(r fettle.Reading) bool {
	hash, known := k[keyOf(r)]
	return known && hash == hashOf(r)
}

func (k refusals) add(r fettle.Reading) {
	if len(k) >= maxRefusals {
		clear(k)
	}
	k[keyOf(r)] = hashOf(r)
}

func keyOf(r fettle.Reading) refusalKey { return refusalKey{r.Machine, r.Time.UnixMicro()} }

func hashOf(r fettle.Reading) uint64 {
	hash := fnv.New64a()
	for _, v := range r.Values {
		_, _ = hash.Write([]byte(v.Sensor)) // a hash takes everything
		_, _ = hash.Write(binary.LittleEndian.AppendUint64([]byte{0}, math.Float64bits(v.Value)))
	}
	return hash.Sum64()
}
