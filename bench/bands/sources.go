package main

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"fettle"
	"fettle/internal/plant"
)

func plantSource(hours int) source {
	return source{"plant", func() (map[string][]fettle.Reading, error) {
		p, err := plant.New(plant.Options{Seed: 1, Start: origin})
		if err != nil {
			return nil, err
		}
		machines := map[string][]fettle.Reading{}
		for range hours * 1800 {
			_, messages := p.Next()
			for _, m := range messages {
				machines[m.Reading.Machine] = append(machines[m.Reading.Machine], m.Reading)
			}
		}
		return machines, nil
	}}
}

func nabSource(path string) (source, error) {
	if _, err := os.Stat(path); err != nil {
		return source{}, err
	}
	return source{"NAB", func() (map[string][]fettle.Reading, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		recording, err := plant.Replay(file, plant.ReplayOptions{Machine: "nab"})
		if err != nil {
			return nil, err
		}
		var rows []fettle.Reading
		for {
			row, err := recording.Next()
			if errors.Is(err, io.EOF) {
				return map[string][]fettle.Reading{"nab": rows}, nil
			} else if err != nil {
				return nil, err
			}
			rows = append(rows, row.Reading)
		}
	}}, nil
}

// syntheticSource is a machine of readings every five minutes, so that each
// forecast is scored up to ten ticks late: sensors that wander, some with outliers
// and some with noise that comes and goes.
func syntheticSource() source {
	return source{"synthetic", func() (map[string][]fettle.Reading, error) {
		dice := rand.New(rand.NewPCG(5, 6))
		rows := make([]fettle.Reading, 14_000)
		for i := range rows {
			rows[i] = fettle.Reading{Machine: "synthetic", Time: origin.Add(time.Duration(i) * 5 * time.Minute)}
		}
		for _, sensor := range []struct {
			name                       string
			stays, tails, restlessness float64
		}{
			{"calm", 0.97, 0, 0}, {"outliers", 0.9, 1, 0}, {"restless", 0.95, 0, 0.15}, {"walk", 1, 0, 0},
		} {
			level, loud := 0.0, 0.0
			for i := range rows {
				loud = 0.98*loud + sensor.restlessness*dice.NormFloat64()
				step := math.Exp(loud) * dice.NormFloat64()
				if sensor.tails > 0 { // Student's distribution of four degrees of freedom
					step /= math.Sqrt((dice.ExpFloat64() + dice.ExpFloat64()) / 2)
				}
				level = sensor.stays*level + step
				day := 3 * math.Sin(2*math.Pi*float64(i)/288)
				rows[i].Values = append(rows[i].Values, fettle.Value{Sensor: sensor.name, Value: level + day})
			}
		}
		return map[string][]fettle.Reading{"synthetic": rows}, nil
	}}
}

// A change is what is done to readings from the middle on.
type change struct {
	name string
	by   func(values []float64, dice *rand.Rand) func(v float64) float64
}

var changes = []change{
	{"", nil},
	{", level shifted by 3 deviations", func(values []float64, _ *rand.Rand) func(float64) float64 {
		_, deviation := moments(values)
		return func(v float64) float64 { return v + 3*deviation }
	}},
	{", noise doubled", func(values []float64, dice *rand.Rand) func(float64) float64 {
		more := math.Sqrt(3) * noise(values)
		return func(v float64) float64 { return v + more*dice.NormFloat64() }
	}},
}

// apply changes the second half of all machines.
func (c change) apply(machines map[string][]fettle.Reading) {
	if c.by == nil {
		return
	}
	for _, rows := range machines {
		for i := range rows[0].Values {
			column := make([]float64, len(rows))
			for row := range rows {
				column[row] = rows[row].Values[i].Value
			}
			by := c.by(column, rand.New(rand.NewPCG(3, uint64(i))))
			for row := len(rows) / 2; row < len(rows); row++ {
				rows[row].Values[i].Value = by(rows[row].Values[i].Value)
			}
		}
	}
}

func moments(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean) / float64(len(values))
	}
	return mean, math.Sqrt(deviation)
}

// noise is the deviation of white noise with as large second differences as the
// values typically have.
func noise(values []float64) float64 {
	var sizes []float64
	for i := 2; i < len(values); i++ {
		sizes = append(sizes, math.Abs(values[i]-2*values[i-1]+values[i-2]))
	}
	slices.Sort(sizes)
	return sizes[len(sizes)/2] / 0.6745 / math.Sqrt(6)
}
