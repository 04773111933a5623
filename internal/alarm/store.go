package alarm

import (
	"encoding/json"
	"fmt"

	"fettle/internal/db"
)

// What is kept, as JSON.
const (
	entryPrefix = "a/a/" // number of the alarm: an entry
	rulePrefix  = "a/r/" // machine: a rule
)

func entryKey(id uint64) []byte     { return db.AppendUint64([]byte(entryPrefix), id) }
func ruleKey(machine string) []byte { return db.AppendString([]byte(rulePrefix), machine) }

// set adds a record to a batch.
func set(batch *db.Batch, key []byte, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	batch.Set(key, value)
	return nil
}

// loadEntries reads all alarms, ascending by number.
func loadEntries(d *db.DB) ([]*entry, error) {
	var entries []*entry
	err := d.Ascend([]byte(entryPrefix), db.After([]byte(entryPrefix)), func(key, value []byte) error {
		e := new(entry)
		if err := json.Unmarshal(value, e); err != nil {
			id, _, _ := db.CutUint64(key[len(entryPrefix):])
			return fmt.Errorf("alarm %d: %w", id, err)
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read alarms: %w", err)
	}
	return entries, nil
}

// loadRule reads the rule of a machine; a new one if nothing was kept.
func loadRule(d *db.DB, machine string) (rule, error) {
	var r rule
	value, found, err := d.Get(ruleKey(machine))
	if err == nil && found {
		err = json.Unmarshal(value, &r)
	}
	if err != nil {
		return rule{}, fmt.Errorf("read alarm rule of %s: %w", machine, err)
	}
	return r, nil
}
