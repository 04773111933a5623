package forecast

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"fettle"
	"fettle/internal/db"
)

// The yardsticks: forecasts that need no model. A model that does not beat them
// has learnt nothing.
const (
	LastValue     = "last value"
	SeasonalNaive = "seasonal naive"
)

const (
	// longestAccuracy is how far an Accuracy reaches at most.
	longestAccuracy = 400 * 24 * time.Hour
	// beatenFrom is how many scored steps it takes to say that a yardstick won.
	beatenFrom = 100
)

// An Accuracy says how a machine's forecasts came out over a time, beside the
// yardsticks on the same windows.
type Accuracy struct {
	Machine    string    `json:"machine"`
	Forecaster string    `json:"forecaster"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Scores
	Beaten   bool               `json:"beaten" doc:"A yardstick was better: skill is below 0 on at least 100 scored steps"`
	BeatenBy string             `json:"beaten_by,omitempty" doc:"Which one: last value or seasonal naive"`
	Sensors  []SensorAccuracy   `json:"sensors"`
	Buckets  []AccuracyInBucket `json:"buckets" doc:"The same by hour, or by day if more than the last seven days were asked for"`
}

// Scores are those of all sensors together; errors of sensors with other units
// are only comparable as shares of a yardstick's.
type Scores struct {
	Steps    int64    `json:"steps" doc:"Scored steps of all sensors"`
	Skill    *float64 `json:"skill" doc:"1 - error / error of the better yardstick, mean of the sensors: 0 is as good, 1 is perfect; null if nothing was scored"`
	Coverage *float64 `json:"coverage" doc:"Share of readings within the band; null if there was none"`
}

// AccuracyInBucket is an hour's or a day's part.
type AccuracyInBucket struct {
	From   time.Time `json:"from"`
	Hours  int       `json:"hours" doc:"How long it is: 1 or 24"`
	Models []string  `json:"models"`
	Scores
	Sensors []SensorScores `json:"sensors"`
}

// SensorAccuracy is one sensor's part.
type SensorAccuracy struct {
	SensorScores
	BeatenBy string           `json:"beaten_by,omitempty" doc:"The yardstick that was better, if one was"`
	ByModel  []ModelScores    `json:"models"`
	BySteps  []DistanceScores `json:"distances" doc:"By how far ahead: step 1, 2 and 3, 4 to 7, and so on"`
}

// ModelScores are those of one model version.
type ModelScores struct {
	Model string `json:"model"`
	StepScores
}

// DistanceScores are those of some steps ahead.
type DistanceScores struct {
	FirstStep int `json:"first_step"`
	LastStep  int `json:"last_step"`
	StepScores
}

// SensorScores are those of one sensor.
type SensorScores struct {
	Sensor string `json:"sensor"`
	StepScores
}

// StepScores are the mean scores of some steps of one sensor, in its unit.
type StepScores struct {
	Steps    int64           `json:"steps"`
	MAE      float64         `json:"mae"`
	RMSE     float64         `json:"rmse"`
	Coverage *float64        `json:"coverage" doc:"Share of readings within the band; null if there was none"`
	Width    *float64        `json:"width" doc:"Mean width of the band"`
	Pinball  *float64        `json:"pinball" doc:"Mean pinball loss of the band's two edges"`
	Skill    float64         `json:"skill" doc:"1 - mae / mae of the better yardstick"`
	Last     YardstickScores `json:"last_value"`
	Seasonal YardstickScores `json:"seasonal_naive"`
}

// YardstickScores are those of a yardstick on the same steps.
type YardstickScores struct {
	Steps int64   `json:"steps" doc:"0 if it had nothing to say, such as while no season is known"`
	MAE   float64 `json:"mae"`
	RMSE  float64 `json:"rmse"`
}

// Accuracy adds up the scores of the hours in [from, to), or of the days if from
// lies before the last seven days of scores; at most 400 days.
func (e *Engine) Accuracy(machine, forecaster string, from, to time.Time) (Accuracy, error) {
	m, _, err := e.find(machine, forecaster)
	if err != nil {
		return Accuracy{}, err
	}
	if to.Before(from) {
		return Accuracy{}, fettle.BadField("no time", "from", from.Format(time.RFC3339), "a time before to, "+to.Format(time.RFC3339))
	}
	if to.Sub(from) > longestAccuracy {
		return Accuracy{}, fettle.BadField("too long a time", "from", from.Format(time.RFC3339), "at most 400 days before to")
	}
	a := Accuracy{Machine: machine, Forecaster: forecaster, From: from, To: to, Buckets: []AccuracyInBucket{}}
	all := newBucket()
	err = e.eachBucket(m, from, to, func(key bucketKey, b *bucket) error {
		all.merge(b)
		a.Buckets = append(a.Buckets, b.public(key))
		return nil
	})
	if err != nil {
		return Accuracy{}, err
	}
	a.Scores, a.Sensors = all.scores(), all.bySensor()
	a.judge()
	return a, nil
}

// eachBucket yields the buckets of a time, the open ones included, oldest first:
// hours if they are all kept, else days.
func (e *Engine) eachBucket(m *memory, from, to time.Time, yield func(bucketKey, *bucket) error) error {
	m.book.mu.Lock()
	defer m.book.mu.Unlock()
	if len(m.book.open) > 0 {
		if err := e.saveBook(m); err != nil {
			return err
		}
	}
	kind, length := byte(kindHour), hourMicros
	if from.UnixMicro() < m.book.scored-hoursKept.Microseconds() {
		kind, length = kindDay, dayMicros
	}
	prefix := len(m.recordKey(kind))
	first := from.UnixMicro() - floorMod(from.UnixMicro(), length)
	return e.db.Ascend(m.bucketKey(bucketKey{kind, first}), m.bucketKey(bucketKey{kind, to.UnixMicro()}), func(key, value []byte) error {
		at, _, ok := db.CutMicros(key[prefix:])
		b := newBucket()
		if !ok || b.read(value) != nil {
			return nil // addScore has told it, or will
		}
		return yield(bucketKey{kind, at.UnixMicro()}, b)
	})
}

func (b *bucket) public(key bucketKey) AccuracyInBucket {
	public := AccuracyInBucket{From: time.UnixMicro(key.at).UTC(), Hours: 1, Scores: b.scores()}
	if key.kind == kindDay {
		public.Hours = 24
	}
	models := map[string]bool{}
	for of := range b.entries {
		models[of.model] = true
	}
	public.Models = slices.Sorted(maps.Keys(models))
	for _, t := range b.accounts(func(of entry) string { return of.sensor }) {
		public.Sensors = append(public.Sensors, SensorScores{t.of, t.scores()})
	}
	return public
}

// A sorted is the account of what has the same key.
type sorted[K cmp.Ordered] struct {
	of K
	*account
}

// accounts adds up by sensor, by the order of their names.
func (b *bucket) accounts(key func(entry) string) []sorted[string] { return accounts(b, key) }

func accounts[K cmp.Ordered](b *bucket, key func(entry) K) []sorted[K] {
	by := map[K]*account{}
	for of, t := range b.entries {
		k := key(of)
		if by[k] == nil {
			by[k] = &account{}
		}
		by[k].merge(*t)
	}
	var list []sorted[K]
	for _, k := range slices.Sorted(maps.Keys(by)) {
		list = append(list, sorted[K]{k, by[k]})
	}
	return list
}

// only is the part of a bucket that is one sensor's.
func (b *bucket) only(sensor string) *bucket {
	part := newBucket()
	for of, t := range b.entries {
		if of.sensor == sensor {
			part.entries[of] = t
		}
	}
	return part
}

// scores are those of all sensors together.
func (b *bucket) scores() Scores {
	var s Scores
	var skill, inside, banded float64
	sensors := b.accounts(func(of entry) string { return of.sensor })
	for _, t := range sensors {
		s.Steps += t.steps
		skill += t.scores().Skill / float64(len(sensors))
		inside, banded = inside+float64(t.inside), banded+float64(t.banded)
	}
	if len(sensors) > 0 {
		s.Skill = &skill
	}
	s.Coverage = share(inside, banded)
	return s
}

func (b *bucket) bySensor() []SensorAccuracy {
	sensors := []SensorAccuracy{}
	for _, t := range b.accounts(func(of entry) string { return of.sensor }) {
		s := SensorAccuracy{SensorScores: SensorScores{t.of, t.scores()}}
		part := b.only(t.of)
		for _, t := range accounts(part, func(of entry) string { return of.model }) {
			s.ByModel = append(s.ByModel, ModelScores{t.of, t.scores()})
		}
		for _, t := range accounts(part, func(of entry) int { return of.group }) {
			first, last := stepsOf(t.of)
			s.BySteps = append(s.BySteps, DistanceScores{first, last, t.scores()})
		}
		s.BeatenBy = s.beatenBy()
		sensors = append(sensors, s)
	}
	return sensors
}

// judge says whether a yardstick was better on the whole, and which.
func (a *Accuracy) judge() {
	if a.Skill == nil || *a.Skill >= 0 || a.Steps < beatenFrom {
		return
	}
	a.Beaten = true
	wins := map[string]int{}
	for _, s := range a.Sensors {
		wins[s.BeatenBy]++
	}
	if a.BeatenBy = LastValue; wins[SeasonalNaive] > wins[LastValue] {
		a.BeatenBy = SeasonalNaive
	}
}

// beatenBy is the yardstick that was better; empty if none was.
func (s StepScores) beatenBy() string {
	switch {
	case s.Steps < beatenFrom || s.Skill >= 0:
		return ""
	case s.Seasonal.Steps == s.Steps && s.Seasonal.MAE < s.Last.MAE:
		return SeasonalNaive
	default:
		return LastValue
	}
}

func (t *account) scores() StepScores {
	n := float64(max(1, t.steps))
	s := StepScores{
		Steps: t.steps, MAE: t.abs / n, RMSE: math.Sqrt(t.squares / n),
		Last:     YardstickScores{t.steps, t.lastAbs / n, math.Sqrt(t.lastSquares / n)},
		Coverage: share(float64(t.inside), float64(t.banded)),
		Width:    share(t.width, float64(t.banded)),
		Pinball:  share(t.pinball, float64(t.banded)),
	}
	best := s.Last.MAE
	if t.seasons > 0 {
		n := float64(t.seasons)
		s.Seasonal = YardstickScores{t.seasons, t.seasonalAbs / n, math.Sqrt(t.seasonalSquares / n)}
	}
	if t.seasons == t.steps { // else it is about other windows
		best = min(best, s.Seasonal.MAE)
	}
	switch {
	case best > 0:
		s.Skill = 1 - s.MAE/best
	case s.MAE > 0:
		s.Skill = -1 // the yardstick was perfect
	}
	return s
}

// share is part of whole; nil if there is none.
func share(part, whole float64) *float64 {
	if whole == 0 {
		return nil
	}
	part /= whole
	return &part
}

// A SensorCoverage says how often one sensor's readings lay within the bands of
// its last 500 forecasts, beside the promise.
type SensorCoverage struct {
	Sensor   string         `json:"sensor"`
	Promise  float64        `json:"promise" doc:"Share of the readings that the band promises to hold"`
	Coverage *float64       `json:"coverage" doc:"Share that it held, of all steps; null if none was scored yet"`
	Scored   int            `json:"scored" doc:"Forecasts counted: the newest 500 to 524"`
	Width    float64        `json:"width" doc:"Mean width of the band, of all steps, in the sensor's unit"`
	Steps    []StepCoverage `json:"steps"`
}

// A StepCoverage is that of one step ahead.
type StepCoverage struct {
	Coverage *float64 `json:"coverage"`
	Scored   int      `json:"scored"`
	Width    float64  `json:"width"`
}

// Coverage says how the bands of a machine's forecasts hold, by sensor.
func (e *Engine) Coverage(machine, forecaster string) ([]SensorCoverage, error) {
	m, _, err := e.find(machine, forecaster)
	if err != nil {
		return nil, err
	}
	b := &m.book
	b.mu.Lock()
	defer b.mu.Unlock()
	sensors := []SensorCoverage{}
	for _, s := range b.sensors {
		if len(s.held) > 0 {
			sensors = append(sensors, s.coverage())
		}
	}
	return sensors, nil
}

func (s *sensorBook) coverage() SensorCoverage {
	c := SensorCoverage{Sensor: s.name, Promise: coverage}
	var inside, of int
	for _, l := range s.held {
		in, n := l.count()
		c.Steps = append(c.Steps, StepCoverage{share(float64(in), float64(n)), n, float64(l.width)})
		inside, of = inside+in, of+n
		c.Scored = max(c.Scored, n)
		c.Width += float64(l.width) / float64(len(s.held))
	}
	c.Coverage = share(float64(inside), float64(of))
	return c
}
