package verdict

import (
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fettle"
)

func TestMachineIsLearnedThenJudged(t *testing.T) {
	r := newRoom(t)
	verdicts := r.live(healthy(1000, 1))
	for i, v := range verdicts {
		if learning := i < firstRows; v.Learning != learning || learning && v.Score != 0 {
			t.Fatalf("row %d: learning %v, score %g; expected to learn for %d rows", i, v.Learning, v.Score, firstRows)
		}
	}
	if score := worst(verdicts); score > 1 {
		t.Errorf("worst score of a healthy machine is %.2f", score)
	}
	latest, found := r.Latest("m")
	if !found || !reflect.DeepEqual(latest, verdicts[999]) || !r.Cursor("m").Equal(at(999)) {
		t.Errorf("latest is %v, cursor %v", latest, r.Cursor("m"))
	}
}

func TestFaultIsJudgedWithItsCause(t *testing.T) {
	hotter := func(_ int, v float64) float64 { return v + 4 }
	r := newRoom(t)
	rows := healthy(1600, 1)
	change(rows, "tempA", 1000, 1100, hotter)
	verdicts := r.live(rows)
	v := verdicts[1050]
	if v.Score <= 1 || len(v.Causes) == 0 || v.Causes[0].Sensor != "tempA" || v.Causes[0].Share < 0.5 {
		t.Fatalf("verdict during the fault is %+v", v)
	}
	cause := v.Causes[0]
	said, _ := rows[1050].Value("tempA")
	if cause.Value != said || cause.Value <= cause.High || cause.Low < 60 || cause.High > 70 {
		t.Errorf("cause is %+v; it read %g", cause, said)
	}
	if score := worst(verdicts[:1000]); score > 1 {
		t.Errorf("worst score before the fault is %.2f", score)
	}
	if score := worst(verdicts[1200:]); score > 1 {
		t.Errorf("worst score 100 rows after the fault is %.2f", score)
	}
}

func TestRowsAreJudgedOnce(t *testing.T) {
	rows := healthy(400, 1)
	once, again := newRoom(t), newRoom(t)
	want := once.live(rows)
	again.store(rows)
	var got []fettle.Verdict
	for from := 0; from < len(rows); from += 50 {
		got = append(got, again.judge(rows[max(0, from-30):from+50])...)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("rows that were handed over twice changed the verdicts")
	}
}

// A crash loses what was not saved. Judging goes on at the saved cursor and
// comes to the same verdicts, refits and faults included.
func TestVerdictsSurviveCrashes(t *testing.T) {
	rows := healthy(700, 3)
	change(rows, "current", 300, 340, func(_ int, v float64) float64 { return v + 6 })
	silence(rows, "noise", between(400, 450))
	want := newRoom(t).live(rows)
	r := newRoom(t)
	r.store(rows)
	rapid.Check(t, func(rt *rapid.T) {
		r.unlearn("m")
		got := make([]fettle.Verdict, 0, len(rows))
		for next := 0; next < len(rows); {
			n := rapid.IntRange(1, 300).Draw(rt, "rows")
			verdicts, err := r.Judge.Judge("m", rows[next:min(next+n, len(rows))])
			if err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "crash") {
				r.restart() // Judge did not save, so next stays
				continue
			}
			if err := r.Save("m"); err != nil {
				rt.Fatal(err)
			}
			got, next = append(got, verdicts...), next+len(verdicts)
			if rapid.Bool().Draw(rt, "restart") {
				r.restart()
			}
			if !r.Cursor("m").Equal(rows[next-1].Time) {
				rt.Fatalf("cursor is %v after row %d", r.Cursor("m"), next-1)
			}
		}
		if !reflect.DeepEqual(got, want) {
			rt.Fatal("verdicts differ from those without a crash")
		}
	})
}

// Whoever could not use verdicts gets them again, until they are saved.
func TestVerdictsThatWereNotSavedComeAgain(t *testing.T) {
	rows := healthy(600, 1) // over the fits at 240 and 480
	r := newRoom(t)
	r.live(rows[:200])
	r.store(rows[200:])
	first, err := r.Judge.Judge("m", rows[200:500])
	if err != nil {
		t.Fatal(err)
	}
	if cursor := r.Cursor("m"); !cursor.Equal(at(199)) {
		t.Errorf("cursor is %v before Save", cursor)
	}
	again := append(r.judge(rows[150:400]), r.judge(rows[400:500])...)
	if !reflect.DeepEqual(first, again) {
		t.Error("verdicts differ the second time")
	}
	if cursor := r.Cursor("m"); !cursor.Equal(at(499)) {
		t.Errorf("cursor is %v after Save", cursor)
	}
}

func TestSilentSensorsRaiseNothing(t *testing.T) {
	for name, when := range map[string]func(int) bool{
		"one row in ten missing":   func(row int) bool { return row%10 == 3 },
		"gone for ever":            between(700, 2000),
		"gone for a while":         between(700, 1100),
		"by exception":             func(row int) bool { return row%7 != 0 },
		"first by exception, gone": func(row int) bool { return row%7 != 0 || row > 900 },
		"appears late":             between(0, 900),
	} {
		t.Run(name, func(t *testing.T) {
			for _, sensor := range []string{"current", "tempA"} {
				rows := healthy(2000, 5)
				silence(rows, sensor, when)
				if score := worst(newRoom(t).live(rows)); score > 1 {
					t.Errorf("worst score without %s is %.2f", sensor, score)
				}
			}
		})
	}
}

// Topics with one sensor each, without a time: every message is a row.
func TestSensorsThatSendOneByOne(t *testing.T) {
	var rows []fettle.Reading
	for i, r := range healthy(1500, 2) {
		for v, value := range r.Values {
			rows = append(rows, fettle.Reading{Machine: "m", Time: at(2 * i).Add(time.Duration(v) * time.Millisecond), Values: []fettle.Value{value}})
		}
	}
	change(rows, "tempB", 4*1200, len(rows), func(_ int, v float64) float64 { return v + 8 })
	verdicts := newRoom(t).live(rows)
	if score := worst(verdicts[:4*1200]); score > 1 {
		t.Errorf("worst score before the fault is %.2f", score)
	}
	v := verdicts[4*1300]
	if v.Score <= 1 || v.Causes[0].Sensor != "tempB" {
		t.Errorf("verdict 400 rows into the fault is %+v", v)
	}
}

func TestSensorThatJoinsIsJudgedSoon(t *testing.T) {
	rows := healthy(2000, 4)
	silence(rows, "tempB", between(0, 1000))
	change(rows, "tempB", 1500, 2000, func(_ int, v float64) float64 { return v + 5 })
	verdicts := newRoom(t).live(rows)
	if score := worst(verdicts[:1500]); score > 1 {
		t.Errorf("worst score before the fault is %.2f", score)
	}
	if v := verdicts[1550]; v.Score <= 1 || v.Causes[0].Sensor != "tempB" {
		t.Errorf("verdict on the fault of the sensor that joined is %+v", v)
	}
}

func TestMachineWithAllSensorsRenamedLearnsAnew(t *testing.T) {
	rows := healthy(1500, 4)
	for i := 1000; i < len(rows); i++ {
		for v := range rows[i].Values {
			rows[i].Values[v].Sensor += " new"
		}
	}
	verdicts := newRoom(t).live(rows)
	if !verdicts[1050].Learning {
		t.Errorf("verdict without a known sensor is %+v", verdicts[1050])
	}
	if last := verdicts[1499]; last.Learning || worst(verdicts) > 1 {
		t.Errorf("last verdict is %+v, worst score %.2f", last, worst(verdicts))
	}
}

func TestFiveThousandSensors(t *testing.T) {
	var rows []fettle.Reading
	for i, r := range healthy(300, 1) {
		for s := range fettle.MaxSensors - 4 {
			r.Values = append(r.Values, fettle.Value{Sensor: "s" + string(rune('A'+s/100)) + string(rune('A'+s%100)), Value: float64(s)})
		}
		r.Values = fettle.SortValues(r.Values)
		if i >= 200 {
			change([]fettle.Reading{r}, "tempA", 0, 1, func(_ int, v float64) float64 { return v + 20 })
		}
		rows = append(rows, r)
	}
	r := newRoom(t)
	verdicts := r.live(rows)
	if v := verdicts[250]; v.Score <= 1 || v.Causes[0].Sensor != "tempA" {
		t.Errorf("verdict is %+v; sensors that move come before those that do not", v)
	}
}

// At a fault's end a machine is as it was; only a fault may not be learned.
func TestNothingIsLearnedFromFaults(t *testing.T) {
	rows := healthy(3000, 6)
	change(rows, "current", 930, 1400, func(_ int, v float64) float64 { return v + 10 }) // over the fit at 960
	verdicts := newRoom(t).live(rows)
	if score := worst(verdicts[1500:]); score > 1 {
		t.Errorf("worst score after the fault is %.2f", score)
	}
	for i := 960; i < 1400; i++ {
		if verdicts[i].Score <= 1 {
			t.Fatalf("score at row %d is %.2f; the fault was learned", i, verdicts[i].Score)
		}
	}
}

func TestQuarantineHoldsTheRowsOfAFault(t *testing.T) {
	rows := healthy(1200, 6)
	change(rows, "current", 600, 700, func(_ int, v float64) float64 { return v + 10 })
	r := newRoom(t)
	verdicts := r.live(rows)
	r.reopen()
	intervals := r.Quarantined("m", at(0), at(1200))
	if len(intervals) != 1 || intervals[0].From.Before(at(600)) || intervals[0].To.Before(at(700)) {
		t.Fatalf("quarantined are %v; expected rows 600..700 and until the machine is itself again", intervals)
	}
	for i, v := range verdicts {
		inside := !rows[i].Time.Before(intervals[0].From) && rows[i].Time.Before(intervals[0].To)
		if v.Score > 1 && !inside {
			t.Errorf("row %d has score %.2f and is not in quarantine", i, v.Score)
		}
	}
	if found := r.Quarantined("m", at(0), intervals[0].From); len(found) != 0 {
		t.Errorf("quarantined before the fault: %v", found)
	}
}

// What was said while somebody worked on a machine is not what is usual, not even
// if that was when it was first learned.
func TestSilencedRowsAreNotLearnedFrom(t *testing.T) {
	rows := healthy(1200, 6)
	for _, work := range []int{100, 1000} {
		change(rows, "current", work, work+100, func(_ int, v float64) float64 { return v + 10 })
	}
	r := newRoom(t)
	silence := fettle.Interval{From: at(100), To: at(200)}
	r.Judge.Silenced = func(_ string, from, to time.Time) []fettle.Interval {
		if from.Before(silence.To) && to.After(silence.From) {
			return []fettle.Interval{silence}
		}
		return nil
	}
	verdicts := r.live(rows)
	for i := 1010; i < 1100; i++ {
		if verdicts[i].Score <= 1 {
			t.Fatalf("score at row %d is %.2f; the work was learned", i, verdicts[i].Score)
		}
	}
	if got := r.Quarantined("m", at(0), at(300)); len(got) == 0 || got[0].From.After(silence.From) || got[0].To.Before(silence.To) {
		t.Errorf("not learned from: %v, want the silence %v in it", got, silence)
	}
	if got := r.Quarantined("nobody", at(0), at(300)); len(got) != 1 {
		t.Errorf("of a machine that was never judged: %v", got)
	}
}

// A new level that lasts longer than all that was learned from is the new
// normal: a machine must not stay in alarm for ever after a repair.
func TestMachineThatStaysDifferentIsLearnedAnew(t *testing.T) {
	rows := healthy(3000, 8)
	change(rows, "current", 1000, 3000, func(_ int, v float64) float64 { return v + 10 })
	verdicts := newRoom(t).live(rows)
	for i := 1010; i < 1900; i++ {
		if verdicts[i].Score <= 1 {
			t.Fatalf("score at row %d is %.2f; the fault was learned too soon", i, verdicts[i].Score)
		}
	}
	if score := worst(verdicts[2100:]); score > 1 {
		t.Errorf("worst score after as many rows as were learned from is %.2f", score)
	}
}

// After a refit the findings stand: a small deviation that was accepted stays
// accepted, and the score does not jump.
func TestRefitIsNoFinding(t *testing.T) {
	rows := healthy(4000, 9)
	change(rows, "tempA", 1930, 4000, func(row int, v float64) float64 { return v + min(float64(row-1930)/400, 1.5) })
	verdicts := newRoom(t).live(rows)
	for _, fit := range []int{240, 480, 960, 1920, 3840} {
		before, after := verdicts[fit-1].Score, verdicts[fit].Score
		if math.Abs(before-after) > 0.15 {
			t.Errorf("score jumps from %.3f to %.3f at the fit of row %d", before, after, fit)
		}
	}
}

func TestGapsBetweenRowsRaiseNothing(t *testing.T) {
	rows := healthy(1000, 3)
	for i, later := range healthy(500, 4) { // in another state than before
		later.Time = at(1000 + i).Add(5 * time.Hour)
		rows = append(rows, later)
	}
	if score := worst(newRoom(t).live(rows)); score > 1 {
		t.Errorf("worst score is %.2f", score)
	}
}

func TestOddNumbers(t *testing.T) {
	for name, value := range map[string]func(row int, v float64) float64{
		"constant":                   func(int, float64) float64 { return 7 },
		"constant zero":              func(int, float64) float64 { return 0 },
		"as large as floats go":      func(row int, _ float64) float64 { return math.MaxFloat64 * (float64(row%3) - 1) },
		"as small as floats go":      func(row int, _ float64) float64 { return math.SmallestNonzeroFloat64 * float64(row%3) },
		"large with little movement": func(_ int, v float64) float64 { return 1e9 + v },
	} {
		t.Run(name, func(t *testing.T) {
			rows := healthy(800, 3)
			change(rows, "noise", 0, 800, value)
			if score := worst(newRoom(t).live(rows)); !(score <= 1) {
				t.Errorf("worst score is %g", score)
			}
		})
	}
	t.Run("one absurd reading", func(t *testing.T) {
		rows := healthy(1200, 3)
		change(rows, "noise", 1000, 1001, func(int, float64) float64 { return math.MaxFloat64 })
		verdicts := newRoom(t).live(rows)
		if score := worst(verdicts); score <= 1 || score > 100 {
			t.Errorf("worst score is %g", score)
		}
		if score := worst(verdicts[1100:]); score > 1 {
			t.Errorf("worst score 100 rows later is %g", score)
		}
	})
}

func TestUnknownMachine(t *testing.T) {
	r := newRoom(t)
	if _, found := r.Latest("nobody"); found || !r.Cursor("nobody").IsZero() || r.Quarantined("nobody", at(0), at(1)) != nil {
		t.Error("something is known of a machine that never was")
	}
	if err := r.Save("nobody"); err != nil {
		t.Error(err)
	}
	if len(r.machines) != 0 {
		t.Error("asking for a machine made it")
	}
}

func TestManyMachinesAndReadersAtOnce(t *testing.T) {
	r := newRoom(t)
	rows := healthy(600, 1)
	change(rows, "tempA", 300, 500, func(_ int, v float64) float64 { return v + 5 })
	var machines sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		own := slices.Clone(rows)
		for i := range own {
			own[i].Machine = name
		}
		r.store(own)
		machines.Go(func() {
			for part := range chunked(own, 40) {
				if _, err := r.Judge.Judge(name, part); err != nil {
					t.Error(err)
				}
				if err := r.Save(name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ended := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				r.Latest("a")
				r.Cursor("b")
				r.Quarantined("c", at(0), at(600))
				if err := r.Range("a", at(0), at(600), func(fettle.Verdict) error { return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	machines.Wait()
	close(ended)
	readers.Wait()
	for _, name := range []string{"a", "b", "c"} {
		if v, _ := r.Latest(name); !v.Time.Equal(at(599)) {
			t.Errorf("latest of %s is %v", name, v)
		}
	}
}
