package verdict

import (
	"encoding/json"
	"fmt"
	"time"

	"fettle"
	"fettle/internal/db"
)

// anomalyPrefix holds the old rule's findings, as JSON: machine, time.
const anomalyPrefix = "n/"

// AddAnomaly keeps a finding of the old rule, for 90 days of the machine's time.
// One of the same machine and time is replaced.
func (j *Judge) AddAnomaly(a fettle.Anomaly) error {
	record, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("keep anomaly of %s: %w", a.Machine, err)
	}
	all := key(anomalyPrefix, a.Machine)
	batch := j.db.NewBatch()
	batch.Set(db.AppendMicros(all, a.Time), record)
	outlived := db.AppendMicros(key(anomalyPrefix, a.Machine), a.Time.Add(-keep))
	err = j.db.Ascend(all, outlived, func(k, _ []byte) error {
		batch.Delete(k)
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep anomaly of %s: %w", a.Machine, err)
	}
	if err := j.db.Commit(batch, db.Lazy); err != nil {
		return fmt.Errorf("keep anomaly of %s: %w", a.Machine, err)
	}
	return nil
}

// AnomaliesAfter returns the first n findings of the old rule about a machine
// behind a time, the oldest first.
func (j *Judge) AnomaliesAfter(machine string, after time.Time, n int) ([]fettle.Anomaly, error) {
	var found []fettle.Anomaly
	all := key(anomalyPrefix, machine)
	from := db.AppendMicros(key(anomalyPrefix, machine), after.Add(time.Microsecond))
	err := j.db.Ascend(from, db.After(all), func(_, record []byte) error {
		if len(found) == n {
			return db.Stop
		}
		var a fettle.Anomaly
		if err := json.Unmarshal(record, &a); err != nil {
			return err
		}
		found = append(found, a)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read anomalies of %s: %w", machine, err)
	}
	return found, nil
}

// LastAnomalies returns the newest n findings of the old rule about a machine,
// the newest first.
func (j *Judge) LastAnomalies(machine string, n int) ([]fettle.Anomaly, error) {
	var last []fettle.Anomaly
	if n <= 0 {
		return nil, nil
	}
	all := key(anomalyPrefix, machine)
	err := j.db.Descend(all, db.After(all), func(_, record []byte) error {
		var a fettle.Anomaly
		if err := json.Unmarshal(record, &a); err != nil {
			return err
		}
		if last = append(last, a); len(last) == n {
			return db.Stop
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read anomalies of %s: %w", machine, err)
	}
	return last, nil
}
