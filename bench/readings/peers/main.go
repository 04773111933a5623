// Command peers puts the readings that come in on its standard input into the
// storage engine of Prometheus or of VictoriaMetrics, as their servers would
// have them after a while, and says what they take there and how fast one
// machine is read back. bench/readings starts it beside its own figures, and
// has the format of what comes in; it is a module of its own, so that fettle's
// does not know these engines.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"
)

// A header says what the rows are: for each, its machine's number (uint32), its
// time in milliseconds since 1970 (int64), and a value for each sensor
// (float64, NaN where it was silent), little-endian.
type header struct {
	Machines, Sensors []string
	From, To          int64 // what is read back, of the first machine, in milliseconds
}

// A Result is what came out.
type result struct {
	Version    string
	Samples    int64         // stored
	Bytes      int64         // of them on the disk
	Read       int64         // samples
	Best, Mean time.Duration // of reading them
}

// An engine stores samples. Rows of a series come in ascending order.
type engine interface {
	module() string
	add(series int, millis int64, value float64) error
	flush(newest int64) error // after each batch of rows
	settle() error            // once all are in: into its lasting form
	read(from, to int64, series []int) (samples int64, err error)
	close() error
}

func main() {
	which := flag.String("engine", "", "prometheus or victoriametrics")
	dir := flag.String("dir", "", "folder for its files")
	flag.Parse()
	if err := run(*which, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(which, dir string) error {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return err
	}
	var e engine
	switch which {
	case "prometheus":
		e, err = openPrometheus(dir, h)
	case "victoriametrics":
		e, err = openVictoria(dir, h)
	default:
		err = fmt.Errorf("engine is %q, expected prometheus or victoriametrics", which)
	}
	if err != nil {
		return err
	}
	r := result{Version: versionOf(e.module())}
	if r.Samples, err = fill(e, in, len(h.Sensors)); err != nil {
		return err
	}
	if err := e.settle(); err != nil {
		return err
	}
	if err := r.measure(e, h); err != nil {
		return err
	}
	if err := e.close(); err != nil {
		return err
	}
	if r.Bytes, err = size(dir); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// fill stores what comes in.
func fill(e engine, in io.Reader, sensors int) (samples int64, err error) {
	const batch = 5000
	row := make([]byte, 4+8+8*sensors)
	for n := 1; ; n++ {
		if _, err := io.ReadFull(in, row); errors.Is(err, io.EOF) {
			return samples, nil
		} else if err != nil {
			return samples, err
		}
		machine, millis := int(binary.LittleEndian.Uint32(row)), int64(binary.LittleEndian.Uint64(row[4:]))
		for sensor := range sensors {
			value := math.Float64frombits(binary.LittleEndian.Uint64(row[12+8*sensor:]))
			if math.IsNaN(value) {
				continue
			}
			if err := e.add(machine*sensors+sensor, millis, value); err != nil {
				return samples, err
			}
			samples++
		}
		if n%batch == 0 {
			if err := e.flush(millis); err != nil {
				return samples, err
			}
		}
	}
}

// measure reads the first machine five times.
func (r *result) measure(e engine, h header) error {
	series := make([]int, len(h.Sensors))
	for sensor := range series {
		series[sensor] = sensor
	}
	r.Best = time.Hour
	for range 5 {
		runtime.GC()
		debug.FreeOSMemory()
		start := time.Now()
		n, err := e.read(h.From, h.To, series)
		if err != nil {
			return err
		}
		took := time.Since(start)
		r.Read, r.Best, r.Mean = n, min(r.Best, took), r.Mean+took/5
	}
	return nil
}

func size(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}

func versionOf(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}
