package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"fettle/patchtst"
)

// serve is our side of the bench: a process of its own, as the peer's are, that
// answers the same requests (see peer.py).
func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	answers := json.NewEncoder(out)
	var j job
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		a, err := j.do(r)
		if err != nil {
			a = answer{Error: err.Error()}
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

// A request asks for one thing; an answer has what belongs to it.
type request struct {
	Do     string `json:"do"`
	Model  string `json:"model,omitempty"`
	Series string `json:"series,omitempty"`
	Batch  int    `json:"batch,omitempty"`
	N      int    `json:"n,omitempty"`
	Mode   mode   `json:"mode"`
}

// A mode is how a contender computes. Attention, Compile and CPP are the peer's.
type mode struct {
	Threads   int    `json:"threads"`
	Attention string `json:"attention,omitempty"`
	BF16      bool   `json:"bf16"`
	Compile   bool   `json:"compile"`
	CPP       bool   `json:"cpp"`
}

type answer struct {
	Error    string    `json:"error,omitempty"`
	Seconds  float64   `json:"seconds,omitempty"`
	Losses   []float64 `json:"losses,omitempty"`
	Forecast []float64 `json:"forecast,omitempty"`
	Bytes    int64     `json:"bytes,omitempty"`
	Text     string    `json:"text,omitempty"`
}

// A job is what our side has been told to get ready for.
type job struct {
	request request
	model   *patchtst.Model
	series  []float32
	steps   *stepper // nil: no training goes on
	dst     []float32
}

func (j *job) do(r request) (answer, error) {
	switch r.Do {
	case "train", "forecast":
		return answer{}, j.open(r)
	case "check":
		if j.request.Do == "forecast" {
			return answer{Forecast: widened(j.forecast())}, nil
		}
		losses, err := j.losses()
		return answer{Losses: losses}, err
	case "work":
		return j.work(r.N)
	case "memory":
		bytes, err := resident()
		return answer{Bytes: bytes}, err
	default:
		return answer{}, fmt.Errorf("unknown request %s", r.Do)
	}
}

func (j *job) open(r request) (err error) {
	if j.model, err = patchtst.Load(r.Model); err != nil {
		return err
	}
	data, err := os.ReadFile(r.Series)
	if err != nil {
		return err
	}
	j.series = make([]float32, len(data)/4)
	for i := range j.series {
		j.series[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	runtime.GOMAXPROCS(r.Mode.Threads)
	j.request = r
	return nil
}

// options are the peer's training: AdamW, nothing clipped, nothing held out.
func (j *job) options() patchtst.Options {
	o := patchtst.NewOptions()
	o.Epochs, o.Batch, o.Threads, o.Clip, o.ValidationShare, o.MaxBytes = 1<<20, j.request.Batch, j.request.Mode.Threads, 0, 0, 1<<40
	if j.request.Mode.BF16 {
		o.Precision = patchtst.BFloat16
	}
	return o
}

// losses are those of three steps on the first windows, with a model of its own:
// each epoch is one step on all of a short series.
func (j *job) losses() ([]float64, error) {
	m, err := patchtst.Load(j.request.Model)
	if err != nil {
		return nil, err
	}
	var losses []float64
	o, c := j.options(), m.Config()
	o.Epochs = 3
	o.Progress = func(p patchtst.Progress) { losses = append(losses, p.Loss) }
	rows := c.ContextLength + c.PredictionLength + o.Batch - 1
	_, err = patchtst.Fit(context.Background(), m, patchtst.Series{Values: j.series[:rows*c.Channels]}, o)
	// What this second training took is no part of the one that is measured; the
	// peer has only one.
	debug.FreeOSMemory()
	return losses, err
}

func (j *job) work(n int) (answer, error) {
	if j.request.Do == "forecast" {
		began := time.Now()
		for range n {
			j.forecast()
		}
		return answer{Seconds: time.Since(began).Seconds()}, nil
	}
	if j.steps == nil {
		j.steps = newStepper(j.model, patchtst.Series{Values: j.series}, j.options())
	}
	seconds, err := j.steps.take(n)
	return answer{Seconds: seconds}, err
}

// forecast is of the series' first window.
func (j *job) forecast() []float32 {
	c := j.model.Config()
	j.dst = j.model.Forward(j.dst, j.series[:c.ContextLength*c.Channels])
	return j.dst
}

// A stepper is a training that waits between steps until it may go on.
type stepper struct {
	allow chan struct{}
	done  chan error // nil after a step
}

func newStepper(m *patchtst.Model, series patchtst.Series, o patchtst.Options) *stepper {
	s := &stepper{allow: make(chan struct{}), done: make(chan error)}
	o.Progress = func(patchtst.Progress) {
		s.done <- nil
		<-s.allow
	}
	// It ends with the process, which the driver ends.
	go func() {
		<-s.allow
		_, err := patchtst.Fit(context.Background(), m, series, o)
		s.done <- fmt.Errorf("training ended: %w", err)
	}()
	return s
}

// take takes n steps, one permission each, and says how long they took. A
// permission costs less than a microsecond beside a step of milliseconds.
func (s *stepper) take(n int) (float64, error) {
	began := time.Now()
	for range n {
		s.allow <- struct{}{}
		if err := <-s.done; err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds(), nil
}

func widened(values []float32) []float64 {
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return wide
}

// resident is the memory that this process has in the machine's, in bytes.
func resident() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kilobytes, found := strings.CutPrefix(line, "VmRSS:"); found {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kilobytes), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status does not tell VmRSS")
}
