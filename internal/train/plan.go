package train

import (
	"fmt"

	"fettle"
	"fettle/patchtst"
)

// workerBytes is what a worker takes besides its data and its training: the
// program itself, a model to judge, buffers.
const workerBytes = 48 << 20

// PlanRun says what a run will take, before anything is read: rows of so many
// sensors, parted as a job parts them.
func PlanRun(r Recipe, rows, sensors int) (fettle.TrainingPlan, error) {
	plan := fettle.TrainingPlan{Rows: rows, Sensors: sensors, Epochs: r.Options.Epochs}
	network, o := r.Network, r.Options
	network.Channels = sensors
	before := int(float64(rows) * (1 - testShare)) // of the rows that judge
	o.ValidationShare = validationShare / (1 - testShare)
	if need := network.ContextLength + network.PredictionLength; before < 2*need {
		return plan, fettle.Errorf(fettle.Unavailable, "%d rows are too few: a look-back of %d and a horizon of %d need at least %d",
			rows, network.ContextLength, network.PredictionLength, leastRows(r))
	}
	p, err := patchtst.PlanFit(network, before, o)
	if err != nil {
		return plan, fettle.Errorf(fettle.Invalid, "%w", err)
	}
	plan.Parameters, plan.Windows = p.Parameters, p.Windows
	plan.Seconds = p.Time.Seconds()
	plan.Bytes = memoryOf(rows, sensors, p.Bytes)
	return plan, nil
}

// leastRows is with how many rows a run can begin: there must be windows in
// each part.
func leastRows(r Recipe) int {
	return int(2*float64(r.Network.ContextLength+r.Network.PredictionLength)/(1-testShare)) + 1
}

// memoryOf is the most that a worker holds: while it unpacks readings, or while
// it trains.
func memoryOf(rows, sensors int, training int64) int64 {
	cells, n := int64(rows)*int64(sensors), int64(rows)
	values := 5 * cells                  // float32, and whether each was measured
	unpacking := 2*cells + (8+8+4+8+8)*n // packed; times, their steps, lines, a column and what it is scaled by
	return workerBytes + values + max(unpacking, training)
}

// refuseMemory says no before it is too late.
func refuseMemory(plan fettle.TrainingPlan, limit int64) error {
	if plan.Bytes <= limit {
		return nil
	}
	return fettle.BadField("too little memory", "training.memory", mebibytes(limit), fmt.Sprintf("at least %s for %d rows of %d sensors and %d parameters: raise it, or take a smaller preset or a shorter history",
		mebibytes(plan.Bytes), plan.Rows, plan.Sensors, plan.Parameters))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }
