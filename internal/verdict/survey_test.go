package verdict

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestGapsAreCountedToASixteenth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 1<<61).Draw(t, "gap") >> rapid.IntRange(0, 61).Draw(t, "shift"))
		bin := gapBin(d)
		end := gapEnd(bin)
		if end < d || float64(end-d) > float64(d)/gapParts {
			t.Fatalf("%d is counted as %d", d, end)
		}
		if gapBin(end) != bin || gapBin(end+1) != bin+1 {
			t.Fatalf("bin %d does not end at %d", bin, end)
		}
	})
}

func TestRhythm(t *testing.T) {
	for _, c := range []struct {
		name      string
		gaps      []time.Duration // taking turns
		step, gap time.Duration
	}{
		{"every 2 s", []time.Duration{2 * time.Second}, 2 * time.Second, 5 * time.Second},
		{"every 5 min", []time.Duration{5 * time.Minute}, 5 * time.Minute, 750 * time.Second},
		{"four sensors one by one", []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond, 2 * time.Second}, time.Millisecond, 5 * time.Second},
		{"a long pause once in forty", append([]time.Duration{time.Hour}, repeated(time.Second, 39)...), time.Second, 2500 * time.Millisecond},
	} {
		var s survey
		for i := range 1000 * len(c.gaps) {
			s.gaps.add(c.gaps[i%len(c.gaps)])
		}
		step, gap := s.rhythm()
		if !nearly(step, c.step) || !nearly(gap, c.gap) {
			t.Errorf("%s: step %v, gap %v; expected %v, %v", c.name, step, gap, c.step, c.gap)
		}
	}
}

func repeated(d time.Duration, n int) []time.Duration {
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = d
	}
	return list
}

func nearly(got, want time.Duration) bool {
	return got >= want && float64(got-want) <= float64(want)/gapParts
}

func TestHabits(t *testing.T) {
	for _, c := range []struct {
		name     string
		silences []int
		habit    int
	}{
		{"speaks in every row", []int{1}, 1},
		{"one row in fifty missing", append(ones(49), 2), 2},
		{"one row in five hundred missing", append(ones(499), 2), 1},
		{"every fourth row", []int{4}, 4},
		{"every fifth row", []int{5}, 8},
		{"when something changes", []int{1, 2, 200, 40, 3}, 256},
		{"hardly ever", []int{2000}, 256},
	} {
		p := &profile{}
		row := 0
		for i := range 20 * len(c.silences) {
			p.say(1, row)
			row += c.silences[i%len(c.silences)]
		}
		if got := p.habit(); got != c.habit {
			t.Errorf("%s: habit %d, expected %d", c.name, got, c.habit)
		}
	}
}

func ones(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = 1
	}
	return list
}

// The first models of a machine of many sensors have learned few rows by heart;
// that must not be an alarm.
func TestManyHealthySensorsAreNoAlarmAtFirst(t *testing.T) {
	for _, sensors := range []int{16, 24, MaxSensors} {
		anomalous := 0
		for _, v := range newRoom(t).live(wandering(1000, sensors, 1)) {
			if v.Score > 1 {
				anomalous++
			}
		}
		if anomalous > 10 {
			t.Errorf("%d sensors: %d of 1000 healthy rows are anomalous", sensors, anomalous)
		}
	}
}
