package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"fettle/patchtst"
)

// A bout is one piece of work that all contenders do in turns.
type bout struct {
	title      string
	do         string // train, forecast
	config     string // name of a model
	batch      int    // windows in a step
	threads    int
	turn       time.Duration // about how long a turn is
	turns      int
	noise      bool // dropout: losses are of chance, and not compared
	contenders []*contender
}

// models are the configs that bouts are about.
func models() map[string]patchtst.Config {
	dropout := patchtst.Deployed()
	dropout.PositionalDropout, dropout.AttentionDropout, dropout.PathDropout = .1, .1, .1
	dropout.FeedForwardDropout, dropout.HeadDropout = .1, .1
	return map[string]patchtst.Config{"deployed": patchtst.Deployed(), "dropout": dropout, "research": patchtst.Research()}
}

// seriesRows is how many rows the windows are taken from.
const seriesRows = 6000

// prepare writes the models, untrained, and a series for all of them.
func prepare(dir string) error {
	for name, c := range models() {
		m, err := patchtst.New(c, 1)
		if err != nil {
			return err
		}
		if err := m.Save(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var data []byte
	for row := range seriesRows {
		for channel := range 6 {
			v := 0.5 + 0.3*math.Sin(float64(row)/float64(5+3*channel)) + 0.1*random.NormFloat64()
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
		}
	}
	return os.WriteFile(filepath.Join(dir, "series"), data, 0o644)
}

// ours are our contenders on some threads.
func ours(threads int) []*contender {
	return []*contender{
		{name: "fettle f32", ours: true, mode: mode{Threads: threads}},
		{name: "fettle bf16", ours: true, mode: mode{Threads: threads, BF16: true}},
	}
}

// everyMode are PyTorch's modes.
func everyMode(threads int) []*contender {
	var list []*contender
	for _, bf16 := range []bool{false, true} {
		for _, attention := range []string{"sdpa", "eager"} {
			for _, how := range []mode{{}, {Compile: true}, {Compile: true, CPP: true}} {
				how.Threads, how.Attention, how.BF16 = threads, attention, bf16
				if how.CPP && attention == "sdpa" {
					continue // of the two with a wrapper in C++ never the faster, and slow to compile
				}
				list = append(list, &contender{name: nameOf(how), mode: how})
			}
		}
	}
	return list
}

// again are the named modes for another bout.
func again(names []string, threads int) []*contender {
	return slices.DeleteFunc(everyMode(threads), func(c *contender) bool { return !slices.Contains(names, c.name) })
}

func nameOf(m mode) string {
	how, attention, numbers := "eager", "plain", "f32"
	if m.Compile {
		how = "compile"
	}
	if m.CPP {
		how = "compile, C++ wrapper"
	}
	if m.Attention == "sdpa" {
		attention = "sdpa"
	}
	if m.BF16 {
		numbers = "bf16"
	}
	return fmt.Sprintf("torch %s (%s, %s attention)", numbers, how, attention)
}

// run lets all contenders take turns, those that fail left out, and wants the
// losses of all alike.
func (b *bout) run(ctx context.Context, dir string) {
	r := request{Do: b.do, Model: filepath.Join(dir, b.config), Series: filepath.Join(dir, "series"), Batch: b.batch}
	for _, c := range b.contenders {
		defer c.stop()
		if c.err = c.ready(ctx, r, b.turn); c.err != nil {
			c.stop()
		}
	}
	if !b.noise {
		b.compare()
	}
	for range b.turns {
		for _, c := range b.contenders {
			if c.err == nil {
				c.err = c.take(max(b.batch, 1))
			}
		}
	}
	for _, c := range b.contenders {
		if c.err == nil {
			c.err = c.remember()
		}
	}
}

// How far losses and forecasts may lie from ours, relatively.
const (
	closeF32  = 1e-3
	closeBF16 = 3e-2
)

// compare throws out whoever does not do the same work: the first contender is
// ours in float32.
func (b *bout) compare() {
	reference := b.contenders[0]
	for _, c := range b.contenders[1:] {
		if c.err != nil || reference.err != nil {
			continue
		}
		allowed := closeF32
		if c.mode.BF16 {
			allowed = closeBF16
		}
		if off := max(apart(c.check.Losses, reference.check.Losses), apart(c.check.Forecast, reference.check.Forecast)); off > allowed {
			c.err = fmt.Errorf("its losses or forecast are off by %.2g of ours: %v, ours %v", off, c.check.Losses, reference.check.Losses)
		}
	}
}

// apart is how far two lists of numbers are apart, relatively to the largest of
// the second.
func apart(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	most, size := 0.0, 0.0
	for i := range a {
		most, size = max(most, math.Abs(a[i]-b[i])), max(size, math.Abs(b[i]))
	}
	if size == 0 {
		return most
	}
	return most / size
}

// fastest is whoever of the contenders chosen has the best median.
func fastest(list []*contender, chosen func(*contender) bool) *contender {
	var first *contender
	for _, c := range list {
		if c.err == nil && chosen(c) && (first == nil || c.median() > first.median()) {
			first = c
		}
	}
	return first
}
