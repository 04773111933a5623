package patchtst

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"fettle/patchtst/internal/kernel"
	"fettle/patchtst/safetensors"
)

// stateFile holds a training's state in its Checkpoint folder: what the next
// step depends on, and in its metadata what the training was made of.
const stateFile = "training.safetensors"

// state lists everything that goes on from step to step, as slices that are
// written to the file and read from it.
func (f *fitting) state() []safetensors.Value {
	values := []safetensors.Value{
		tensorOf("weights", f.model.numbers.trained), tensorOf("held", f.model.numbers.held), countersOf("counters", f.model.numbers.counters),
		tensorOf("best.weights", f.numbers.trained), tensorOf("best.held", f.numbers.held), countersOf("best.counters", f.numbers.counters),
		tensorOf("momentum", f.trainer.momentum), tensorOf("variance", f.trainer.variance),
		countersOf("progress", []int64{int64(f.trainer.steps), int64(f.position), int64(f.report.Best)}),
		{Name: "losses", Shape: []int{1}, Values: []float64{f.losses}},
	}
	history := []float64{}
	for _, e := range f.report.Epochs {
		history = append(history, e.Loss, e.Rate, float64(e.Validation.Windows), e.Validation.MSE, e.Validation.MAE)
	}
	return append(values, safetensors.Value{Name: "epochs", Shape: []int{len(f.report.Epochs), epochNumbers}, Values: history})
}

// epochNumbers is how many numbers the state keeps of an epoch.
const epochNumbers = 5

func tensorOf(name string, values []float32) safetensors.Value {
	return safetensors.Value{Name: name, Shape: []int{len(values)}, Values: values}
}

func countersOf(name string, values []int64) safetensors.Value {
	return safetensors.Value{Name: name, Shape: []int{len(values)}, Values: values}
}

// checkpoint writes the state down, if the options name a folder for it.
func (f *fitting) checkpoint() error {
	if f.options.Checkpoint == "" {
		return nil
	}
	if err := os.MkdirAll(f.options.Checkpoint, 0o777); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	err := writeFile(filepath.Join(f.options.Checkpoint, stateFile), func(w io.Writer) error {
		made := f.made()
		made[kernelsKey] = f.model.kernels.String()
		return safetensors.Write(w, f.state(), made)
	})
	if err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// kernelsKey is where a checkpoint names the kernels that it was computed with.
const kernelsKey = "kernels"

// useKernels takes those that a training began with: others round in another
// way. Where the processor lacks them it goes on with its own.
func (f *fitting) useKernels(name string) {
	if k, there := kernel.Named(name); there && name != f.model.kernels.String() {
		f.model.use(k)
		f.trainer.close()
		f.trainer = newTrainer(f.model, f.options.step())
	}
}

// made says what a training is made of: the state of another one must not be
// gone on from.
func (f *fitting) made() map[string]string {
	text, err := f.model.config.text(nil)
	if err != nil {
		panic("BUG: patchtst: a config that was checked cannot be written: " + err.Error())
	}
	o := f.options
	return map[string]string{
		"format":          "fettle-training-1",
		"config":          string(text),
		"series":          fingerprint(f.series),
		"validation":      fingerprint(f.validation),
		"Epochs":          fmt.Sprint(o.Epochs),
		"Batch":           fmt.Sprint(o.Batch),
		"LearningRate":    fmt.Sprint(o.LearningRate),
		"WeightDecay":     fmt.Sprint(o.WeightDecay),
		"Clip":            fmt.Sprint(o.Clip),
		"Schedule":        string(o.Schedule),
		"Patience":        fmt.Sprint(o.Patience),
		"Precision":       string(cmp.Or(o.Precision, Float32)),
		"Seed":            fmt.Sprint(o.Seed),
		"Stride":          fmt.Sprint(o.Stride),
		"WindowsPerEpoch": fmt.Sprint(o.WindowsPerEpoch),
	}
}

// fingerprint tells series apart.
func fingerprint(s Series) string {
	hash := sha256.New()
	buffer := make([]byte, 0, 4096)
	for _, v := range s.Values {
		if buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(v)); len(buffer) == cap(buffer) {
			hash.Write(buffer)
			buffer = buffer[:0]
		}
	}
	for _, measured := range s.Observed {
		mark := byte(0)
		if measured {
			mark = 1
		}
		if buffer = append(buffer, mark); len(buffer) == cap(buffer) {
			hash.Write(buffer)
			buffer = buffer[:0]
		}
	}
	hash.Write(buffer)
	return hex.EncodeToString(hash.Sum(nil))
}

// resume takes the state out of the folder, if there is one.
func (f *fitting) resume() error {
	path := filepath.Join(f.options.Checkpoint, stateFile)
	file, err := safetensors.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	defer file.Close()
	was, is := file.Metadata(), f.made()
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if was[name] != is[name] {
			return fmt.Errorf("checkpoint %s is of another training, with another %s (%.20q; now it is %.20q): go on with what it was made with, or remove the folder",
				path, name, was[name], is[name])
		}
	}
	f.useKernels(was[kernelsKey])
	if err := f.readState(file); err != nil {
		return fmt.Errorf("read checkpoint %s: %w", path, err)
	}
	return nil
}

// readState is the way back of state. The model stays as it is until all of it
// has been read.
func (f *fitting) readState(file *safetensors.File) error {
	now, progress, losses := newNumbers(f.model.config), make([]int64, 3), make([]float64, 1)
	epochs, err := file.Float64("epochs")
	if err := errors.Join(err,
		readInto(file.Float32, "weights", now.trained),
		readInto(file.Float32, "held", now.held),
		readInto(file.Int64, "counters", now.counters),
		readInto(file.Float32, "best.weights", f.numbers.trained),
		readInto(file.Float32, "best.held", f.numbers.held),
		readInto(file.Int64, "best.counters", f.numbers.counters),
		readInto(file.Float32, "momentum", f.trainer.momentum),
		readInto(file.Float32, "variance", f.trainer.variance),
		readInto(file.Int64, "progress", progress),
		readInto(file.Float64, "losses", losses),
	); err != nil {
		return err
	}
	for len(epochs) >= epochNumbers {
		e := epochs[:epochNumbers]
		f.report.Epochs = append(f.report.Epochs, Epoch{Loss: e[0], Rate: e[1], Validation: Score{int(e[2]), e[3], e[4]}})
		epochs = epochs[epochNumbers:]
	}
	steps, position, best := int(progress[0]), int(progress[1]), int(progress[2])
	if steps < 0 || position < 0 || position > f.options.perEpoch(f.windows.count) || best < -1 || best >= len(f.report.Epochs) {
		return fmt.Errorf("step %d, window %d, best epoch %d and %d epochs do not fit together", steps, position, best, len(f.report.Epochs))
	}
	f.trainer.steps, f.position, f.losses = steps, position, losses[0]
	f.report.Steps, f.report.Best = steps, best
	now.copyTo(&f.model.numbers)
	return nil
}

// readInto reads a tensor into a slice of its length.
func readInto[T any](read func(name string) ([]T, error), name string, to []T) error {
	values, err := read(name)
	if err != nil {
		return err
	}
	if len(values) != len(to) {
		return fmt.Errorf("tensor %s has %d numbers; expected %d", name, len(values), len(to))
	}
	copy(to, values)
	return nil
}
