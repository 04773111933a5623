package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

// A contender is a process that trains, or forecasts, in one mode.
type contender struct {
	name string
	ours bool
	mode mode

	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner

	steps int       // in a turn, about a turn's length
	rates []float64 // of its turns, windows a second
	bytes int64     // resident after all of them
	check answer    // losses or a forecast, to be compared
	err   error     // why it is out
}

// peerScript runs Python with torch, made the first time.
const peerScript = "scripts/peers/torch.sh"

// start starts the contender's process. Python gets the allocator's thresholds
// raised, which makes PyTorch faster: memory that it frees stays with it.
func (c *contender) start(ctx context.Context) error {
	if c.ours {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		c.process = exec.CommandContext(ctx, self, "-serve")
	} else {
		c.process = exec.CommandContext(ctx, peerScript, "bench/engine/peer.py")
		c.process.Env = append(os.Environ(), "GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296",
			fmt.Sprintf("OMP_NUM_THREADS=%d", c.mode.Threads))
	}
	in, err := c.process.StdinPipe()
	if err != nil {
		return err
	}
	out, err := c.process.StdoutPipe()
	if err != nil {
		return err
	}
	c.in, c.out = in, bufio.NewScanner(out)
	c.out.Buffer(nil, 16<<20)
	return c.process.Start()
}

// stop ends the process; that a killed one did not end well is no news.
func (c *contender) stop() {
	if c.process == nil || c.process.Process == nil {
		return
	}
	_ = c.in.Close()
	_ = c.process.Process.Kill()
	_ = c.process.Wait()
}

// ask asks the process for one thing.
func (c *contender) ask(r request) (answer, error) {
	r.Mode = c.mode
	text, err := json.Marshal(r)
	if err != nil {
		return answer{}, err
	}
	if _, err := c.in.Write(append(text, '\n')); err != nil {
		return answer{}, fmt.Errorf("%s: %w", c.name, err)
	}
	if !c.out.Scan() {
		return answer{}, fmt.Errorf("%s ended without an answer: %w", c.name, errors.Join(c.out.Err(), io.ErrUnexpectedEOF))
	}
	var a answer
	if err := json.Unmarshal(c.out.Bytes(), &a); err != nil {
		return answer{}, fmt.Errorf("%s: %w", c.name, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %s", c.name, a.Error)
	}
	return a, nil
}

// ready starts the process, has it get ready, and warms it up. What it takes for
// this counts nowhere.
func (c *contender) ready(ctx context.Context, r request, turn time.Duration) error {
	if err := c.start(ctx); err != nil {
		return err
	}
	if _, err := c.ask(r); err != nil {
		return err
	}
	var err error
	if c.check, err = c.ask(request{Do: "check"}); err != nil {
		return err
	}
	fastest := 0.0
	for range 3 {
		a, err := c.ask(request{Do: "work", N: 1})
		if err != nil {
			return err
		}
		if fastest == 0 || a.Seconds < fastest {
			fastest = a.Seconds
		}
	}
	c.steps = max(1, int(turn.Seconds()/fastest))
	return nil
}

// take takes one turn of steps on so many windows each.
func (c *contender) take(windows int) error {
	a, err := c.ask(request{Do: "work", N: c.steps})
	if err == nil {
		c.rates = append(c.rates, float64(c.steps*windows)/a.Seconds)
	}
	return err
}

// remember keeps how much memory it took.
func (c *contender) remember() error {
	a, err := c.ask(request{Do: "memory"})
	c.bytes = a.Bytes
	return err
}

// median of its turns; 0 without any.
func (c *contender) median() float64 {
	if len(c.rates) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(c.rates))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func (c *contender) best() float64 {
	if len(c.rates) == 0 {
		return 0
	}
	return slices.Max(c.rates)
}
