package train

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"fettle"
)

// TestMain lets the test binary be the worker, too, and all that can be wrong
// with one.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], "train-worker") {
		os.Exit(m.Run())
	}
	switch strings.TrimPrefix(os.Args[1], "train-worker") {
	case "":
		go ExitWithParent(context.Background())
		if err := Work(context.Background(), os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "-garbage":
		fmt.Println("Segmentation fault, or so")
	case "-silent":
		fmt.Fprintln(os.Stderr, "I have nothing to say")
	case "-failing":
		fmt.Fprintln(os.Stderr, "panic: something")
		os.Exit(3)
	case "-hanging": // says who it is, if anybody asked
		if len(os.Args) > 2 {
			draft := os.Args[2] + ".draft"
			if os.WriteFile(draft, []byte(strconv.Itoa(os.Getpid())), 0o600) != nil || os.Rename(draft, os.Args[2]) != nil {
				os.Exit(1)
			}
		}
		time.Sleep(time.Hour)
	case "-dying": // the first time, in its third epoch, as by kill -9
		die := writerFunc(func(p []byte) (int, error) {
			if _, err := os.Stat(os.Args[2]); err != nil && bytes.Contains(p, []byte(`"epoch":3`)) {
				_ = os.WriteFile(os.Args[2], nil, 0o600)
				self, _ := os.FindProcess(os.Getpid())
				_ = self.Kill()
				time.Sleep(time.Hour)
			}
			return os.Stderr.Write(p)
		})
		_ = Work(context.Background(), os.Stdin, os.Stdout, die)
	case "-waiting": // until it is let go
		for {
			if _, err := os.Stat(os.Args[2]); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		_ = Work(context.Background(), os.Stdin, os.Stdout, os.Stderr)
	case "-foreign":
		fmt.Println(`{"version":1,"id":"4711","machine":"other","forecaster":"short","files":[]}`)
	}
}

var start = time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC)

// tiny is a model that trains in a moment.
const tiny = `{"context":16,"horizon":4,"patch":4,"stride":4,"d_model":8,"heads":2,"layers":1,"ffn":8,"epochs":4,"batch":16,"learning_rate":0.01}`

// waves are n readings of two sensors, a step of 2 s apart, with an order that a
// model can find.
func waves(machine string, n int) []fettle.Reading {
	rows := make([]fettle.Reading, n)
	for i := range rows {
		x := float64(i)
		rows[i] = fettle.Reading{Machine: machine, Time: start.Add(time.Duration(i) * 2 * time.Second), Values: []fettle.Value{
			{Sensor: "a", Value: 10 + 3*math.Sin(x/5)},
			{Sensor: "b", Value: 50 + 5*math.Sin(x/7)*math.Sin(x/31)},
		}}
	}
	return rows
}

// windowOf are readings of the sensors a and b as columns.
func windowOf(rows []fettle.Reading) windowsOf {
	w := fettle.Window{Machine: "m", Sensors: []string{"a", "b"}, Columns: make([][]float64, 2)}
	for _, r := range rows {
		w.TimesMicros = append(w.TimesMicros, r.Time.UnixMicro())
		for i, v := range r.Values {
			w.Columns[i] = append(w.Columns[i], v.Value)
		}
	}
	return func(yield func(fettle.Window) error) error { return yield(w) }
}

// jobOf is a job of a preset over readings, with the packed readings.
func jobOf(t testing.TB, preset string, rows []fettle.Reading) (*Job, []byte) {
	t.Helper()
	recipe, err := FindRecipe(preset)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	data, _, err := pack(&packed, []string{"a", "b"}, windowOf(rows))
	if err != nil {
		t.Fatal(err)
	}
	recipe.Network.Channels = 2
	return &Job{
		Version: wireVersion, ID: "17", Machine: "m", Forecaster: fettle.ShortForecaster, Seed: 1, Scaler: Robust,
		Network: recipe.Network, Training: settingsOf(recipe.Options), Limits: Limits{Memory: 256 << 20, Threads: 1},
		Validation: validationShare, Test: testShare, Data: data,
	}, packed.Bytes()
}

func lineOf(t testing.TB, job *Job, packed []byte) []byte {
	t.Helper()
	var line bytes.Buffer
	var rows io.Reader
	if packed != nil {
		rows = bytes.NewReader(packed)
	}
	if err := writeJob(&line, job, rows); err != nil {
		t.Fatal(err)
	}
	return line.Bytes()
}

// do has a worker do a job within this process.
func do(t testing.TB, line []byte) *Result {
	t.Helper()
	var answer, progress bytes.Buffer
	if err := Work(t.Context(), bytes.NewReader(line), &answer, &progress); err != nil {
		t.Fatal(err)
	}
	r := new(Result)
	if err := json.Unmarshal(answer.Bytes(), r); err != nil {
		t.Fatalf("%v: %s", err, answer.Bytes())
	}
	return r
}
