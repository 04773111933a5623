package readings

import (
	"fmt"
	"maps"
	"slices"

	"fettle"
	"fettle/internal/db"
)

// admit gives numbers to the row's new sensors, and takes those beyond the
// limit out of the row.
func (c *change) admit(batch *db.Batch, row *fettle.Reading) *fettle.Error {
	var first string
	refused := 0
	for _, v := range row.Values {
		if _, known := c.number(v.Sensor); known {
			continue
		}
		if len(c.words.sensors) >= fettle.MaxSensors {
			if refused++; refused == 1 {
				first = v.Sensor
			}
			continue
		}
		if c.ids == nil {
			c.ids = map[string]uint32{}
		}
		id := len(c.words.sensors)
		c.ids[v.Sensor] = uint32(id)
		c.words.sensors = append(c.words.sensors, v.Sensor)
		c.state.latest = append(c.state.latest, never)
		batch.Set(db.AppendUint64(keyOf(nil, sensorPrefix, c.machine.name), uint64(id)), []byte(v.Sensor))
	}
	if refused == 0 {
		return nil
	}
	row.Values = slices.DeleteFunc(slices.Clone(row.Values), func(v fettle.Value) bool {
		_, known := c.number(v.Sensor)
		return !known
	})
	return fettle.BadField("too many sensors", first, fmt.Sprintf("one of %d new", refused),
		fmt.Sprintf("at most %d sensors of machine %q in all", fettle.MaxSensors, c.machine.name))
}

func (c *change) number(sensor string) (uint32, bool) {
	if id, known := c.machine.ids[sensor]; known {
		return id, true
	}
	id, known := c.ids[sensor]
	return id, known
}

// numbers appends the numbers of the values' sensors, all of them known.
func (c *change) numbers(ids []uint32, values []fettle.Value) []uint32 {
	for _, v := range values {
		id, _ := c.number(v.Sensor)
		ids = append(ids, id)
	}
	return ids
}

// tagSet finds or gives a number for tags, counting from 1; 0 is for none.
func (c *change) tagSet(batch *db.Batch, tags map[string]string, s *Store) (number uint32, kept bool) {
	if len(tags) == 0 {
		return 0, true
	}
	if c.tagNumber != 0 && maps.Equal(tags, c.tags) {
		return c.tagNumber, true
	}
	if number, kept = c.tagSetNumber(batch, tags, s); kept {
		c.tags, c.tagNumber = tags, number
	}
	return number, kept
}

// tagSetNumber is tagSet for tags other than those of the row before.
func (c *change) tagSetNumber(batch *db.Batch, tags map[string]string, s *Store) (number uint32, kept bool) {
	s.scratch.value = appendTagSet(s.scratch.value[:0], tags)
	if id, known := c.machine.tagIDs[string(s.scratch.value)]; known {
		return id, true
	}
	if id, known := c.tagIDs[string(s.scratch.value)]; known {
		return id, true
	}
	if len(c.words.tagSets) >= MaxTagSets {
		return 0, false
	}
	if c.tagIDs == nil {
		c.tagIDs = map[string]uint32{}
	}
	batch.Set(db.AppendUint64(keyOf(nil, tagSetPrefix, c.machine.name), uint64(len(c.words.tagSets))), s.scratch.value)
	c.words.tagSets = append(c.words.tagSets, tags)
	number = uint32(len(c.words.tagSets))
	c.tagIDs[string(s.scratch.value)] = number
	return number, true
}
