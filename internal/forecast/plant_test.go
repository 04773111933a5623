package forecast

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
	"fettle/internal/model"
	"fettle/internal/readings"
)

// A bench is an engine over a real store and a real folder of models.
type bench struct {
	*testing.T
	dir      string
	mu       sync.Mutex // guards clock
	clock    time.Time  // of the wall
	plans    []Forecaster
	steps    map[string]time.Duration
	db       *db.DB
	rows     *readings.Store
	models   *model.Folder
	engine   *Engine
	training *model.Training // of the models that are published
}

// newBench starts with nothing stored, and the short forecaster only. The wall clock stands a year after the
// readings, so that no tick is live.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir(), clock: origin.AddDate(1, 0, 0), plans: []Forecaster{Short()}}
	b.open()
	t.Cleanup(func() {
		mustBeSound(t, b.rows)
		b.close()
	})
	return b
}

func (b *bench) open() {
	b.Helper()
	var err error
	if b.db, err = db.Open(filepath.Join(b.dir, "db"), db.Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		b.Fatal(err)
	}
	if b.rows, err = readings.Open(b.db, b.dir, nil); err != nil {
		b.Fatal(err)
	}
	if b.models, err = model.Open(filepath.Join(b.dir, "models"), b.now, nil, slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	if b.engine, err = New(Config{Forecasters: b.plans, Steps: b.steps, Now: b.now}, b.rows, b.models, b.db, slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
}

// now is a clock that moves on by a minute whenever it is looked at, so that no
// two models are published within one second.
func (b *bench) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = b.clock.Add(time.Minute)
	return b.clock
}

func (b *bench) close() {
	if err := b.db.Close(); err != nil {
		b.Error(err)
	}
}

// restart is what a new process finds.
func (b *bench) restart() {
	b.Helper()
	b.close()
	b.open()
}

func (b *bench) store(rows []fettle.Reading) {
	b.Helper()
	for len(rows) > 0 {
		n := min(len(rows), 5000)
		if _, err := b.rows.Append(rows[:n]); err != nil {
			b.Fatal(err)
		}
		rows = rows[n:]
	}
}

func (b *bench) watermark() time.Time {
	info, _ := b.rows.Info("press")
	return info.Last
}

func (b *bench) learn(watermark time.Time, quarantined ...fettle.Interval) bool {
	b.Helper()
	refitted, err := b.engine.Learn(b.Context(), "press", Tick{"short", watermark}, func(string, time.Time, time.Time) []fettle.Interval { return quarantined })
	if err != nil {
		b.Fatal(err)
	}
	return refitted
}

func (b *bench) forecast(at time.Time) Made {
	b.Helper()
	made, err := b.engine.Forecast(b.Context(), "press", Tick{"short", at})
	if err != nil {
		b.Fatal(err)
	}
	return made
}

// ticks works off all ticks that are due, as the pipeline does.
func (b *bench) ticks(watermark time.Time) []time.Time {
	b.Helper()
	var ticks []time.Time
	for {
		tick, due := b.engine.Due("press", watermark)
		if !due {
			return ticks
		}
		if _, err := b.engine.Forecast(b.Context(), "press", tick); err != nil && fettle.KindOf(err) != fettle.Unavailable {
			b.Fatal(err)
		}
		ticks = append(ticks, tick.At)
	}
}

// wave is a machine with one regular and one noisy sensor, a row every step.
func wave(rows int, step time.Duration) []fettle.Reading {
	all := machineRows(rows, map[string][]float64{"load": scale(sine(rows, 40, 0.05), 10, 50), "temp": scale(sine(rows, 25, 0.3), 2, 20)})
	for i := range all {
		all[i].Time = origin.Add(time.Duration(i) * step)
	}
	return all
}

// publishPatchTST makes a version of a PatchTST for two sensors that forecasts
// two steps from six rows, and says what a sensor said last: its only patch
// holds the newest rows, its embedding passes on the last of them, its one
// layer adds nothing, and its head takes it as it is.
func (b *bench) publishPatchTST(low, high float64, sensors ...string) fettle.Model {
	b.Helper()
	published, err := b.models.Publish(model.Publication{Machine: "press", Family: model.PatchTST, Sensors: sensors, Training: b.training}, func(dir string) error {
		n := len(sensors)
		scaler, err := json.Marshal(model.Scaler{
			DataMin: constant(n, low), DataMax: constant(n, high),
			Scale: constant(n, 1/(high-low)), Min: constant(n, -low/(high-low)),
		})
		if err != nil {
			return err
		}
		config, err := json.Marshal(map[string]any{
			"model_type": "patchtst", "context_length": 6, "prediction_length": 2, "num_input_channels": n, "num_targets": n,
			"patch_length": 5, "patch_stride": 2, "d_model": 2, "ffn_dim": 2, "num_attention_heads": 1, "num_hidden_layers": 1,
			"norm_type": "batchnorm", "pre_norm": true, "pooling_type": "mean", "scaling": nil, "positional_encoding_type": "sincos",
			"share_embedding": true, "share_projection": true, "loss": "mse", "activation_function": "gelu",
		})
		if err != nil {
			return err
		}
		for name, content := range map[string][]byte{"config.json": config, "scaler.json": scaler, "model.safetensors": lastValueNetwork()} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return published
}

// lastValueNetwork is model.safetensors: a header's length, the header in JSON,
// and the tensors.
func lastValueNetwork() []byte {
	const layer = "model.encoder.layers.0."
	tensors := map[string]struct {
		shape  []int
		values []float32
	}{
		"model.encoder.embedder.input_embedding.weight": {[]int{2, 5}, []float32{0, 0, 0, 0, 1, 0, 0, 0, 0, 0}},
		"model.encoder.embedder.input_embedding.bias":   {[]int{2}, make([]float32, 2)},
		"model.encoder.positional_encoder.position_enc": {[]int{1, 2}, make([]float32, 2)},
		layer + "ff.0.weight":                           {[]int{2, 2}, make([]float32, 4)},
		layer + "ff.0.bias":                             {[]int{2}, make([]float32, 2)},
		layer + "ff.3.weight":                           {[]int{2, 2}, make([]float32, 4)},
		layer + "ff.3.bias":                             {[]int{2}, make([]float32, 2)},
		"head.projection.weight":                        {[]int{2, 2}, []float32{1, 0, 1, 0}},
		"head.projection.bias":                          {[]int{2}, make([]float32, 2)},
	}
	for _, name := range []string{"q", "k", "v", "out"} {
		tensors[layer+"self_attn."+name+"_proj.weight"] = tensors[layer+"ff.0.weight"]
		tensors[layer+"self_attn."+name+"_proj.bias"] = tensors[layer+"ff.0.bias"]
	}
	for _, norm := range []string{"norm_sublayer1", "norm_sublayer3"} {
		for _, name := range []string{"weight", "bias", "running_mean"} {
			tensors[layer+norm+".batchnorm."+name] = tensors[layer+"ff.0.bias"]
		}
		tensors[layer+norm+".batchnorm.running_var"] = struct {
			shape  []int
			values []float32
		}{[]int{2}, []float32{1, 1}}
	}
	header, data := map[string]any{}, []byte{}
	for name, tensor := range tensors {
		from := len(data)
		for _, v := range tensor.values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		header[name] = map[string]any{"dtype": "F32", "shape": tensor.shape, "data_offsets": []int{from, len(data)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data...)
}

// mustBeSound checks everything in a store of readings.
func mustBeSound(t testing.TB, rows *readings.Store) {
	t.Helper()
	if r, err := rows.Check(context.Background()); err != nil || len(r.Faults) > 0 {
		t.Errorf("check of the readings found %q, %v", r.Faults, err)
	}
}
