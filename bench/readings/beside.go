package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"time"

	"fettle/internal/plant"
)

// A peer is what the program of bench/readings/peers says of another engine.
type peer struct {
	Version    string
	Samples    int64
	Bytes      int64
	Read       int64
	Best, Mean time.Duration
}

// beside puts the readings of month into the engines of Prometheus and
// VictoriaMetrics, each in a process of its own.
func beside(program, dir string, days int) error {
	for _, engine := range []struct{ flag, name string }{{"prometheus", "Prometheus tsdb"}, {"victoriametrics", "VictoriaMetrics storage"}} {
		got, err := ask(program, engine.flag, dir+"-"+engine.flag, days)
		if err != nil {
			return fmt.Errorf("%s: %w", engine.flag, err)
		}
		name := engine.name + " " + got.Version
		line(name+", bytes a sample", "%.3f", float64(got.Bytes)/float64(got.Samples))
		line(fmt.Sprintf("%s, %d days (%.1f M samples), best / mean of 5", name, days-1, float64(got.Read)/1e6), "%.0f / %.0f ms", ms(got.Best), ms(got.Mean))
	}
	return nil
}

func ask(program, engine, dir string, days int) (got peer, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cmd := exec.Command(program, "-engine", engine, "-dir", dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return peer{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return peer{}, err
	}
	if err := cmd.Start(); err != nil {
		return peer{}, err
	}
	told := tell(in, days)
	decoded := json.NewDecoder(out).Decode(&got)
	if err := cmd.Wait(); err != nil {
		return peer{}, err
	}
	return got, errors.Join(told, decoded)
}

// tell writes the readings in the format of the peers' program.
func tell(to io.WriteCloser, days int) (err error) {
	defer func() { err = errors.Join(err, to.Close()) }()
	p, err := newPlant()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(to, 1<<20)
	end := begin.AddDate(0, 0, days)
	at, messages := p.Next()
	if err := json.NewEncoder(out).Encode(headerOf(messages, days)); err != nil {
		return err
	}
	var row []byte
	for at.Before(end) {
		for machine, m := range messages {
			row = binary.LittleEndian.AppendUint32(row[:0], uint32(machine))
			row = binary.LittleEndian.AppendUint64(row, uint64(at.UnixMilli()))
			for _, v := range m.Reading.Values {
				row = binary.LittleEndian.AppendUint64(row, math.Float64bits(v.Value))
			}
			if _, err := out.Write(row); err != nil {
				return err
			}
		}
		at, messages = p.Next()
	}
	return out.Flush()
}

type header struct {
	Machines, Sensors []string
	From, To          int64 // what is to be read back, in milliseconds
}

func headerOf(messages []plant.Message, days int) header {
	h := header{From: begin.UnixMilli(), To: begin.AddDate(0, 0, days-1).UnixMilli()}
	for _, m := range messages {
		h.Machines = append(h.Machines, m.Reading.Machine)
	}
	for _, v := range messages[0].Reading.Values {
		h.Sensors = append(h.Sensors, v.Sensor)
	}
	return h
}
