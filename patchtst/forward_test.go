package patchtst

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestDeployedSize compares a model of the deployed size, whose weights come
// from a hash, with transformers: a forecast, and a step's loss, gradients and
// running statistics.
func TestDeployedSize(t *testing.T) {
	testHashModel(t, "seed", 269_962)
}

// TestResearchLength compares a model of the research length with
// transformers. Its weights are wild: its numbers reach 188, where float32
// itself goes in steps of 1.5e-5 and torch is 1.6e-4 away from float64; so the
// tolerance is relative.
func TestResearchLength(t *testing.T) {
	golden := openGolden(t, "research64.safetensors")
	m := golden.checkpoint(t, "init.").load(t)
	want := float32s(t, golden.File, "pred_eval")
	near(t, "forecast", forwardAll(m, float32s(t, golden.File, "past_values")), want, tolerance*largestOf(want))
}

func testHashModel(t *testing.T, name string, parameters int) {
	golden := openGolden(t, "hash_models.safetensors")
	said := golden.models[name]
	m := hashModel(said.Config).load(t)
	c := m.Config()
	if m.Parameters() != parameters {
		t.Errorf("%d parameters; want %d", m.Parameters(), parameters)
	}
	x, y := make([]float32, 2*c.ContextLength*c.Channels), make([]float32, 2*c.PredictionLength*c.Channels)
	fillHash(x, "past_values", func(u float32) float32 { return u })
	fillHash(y, "future_values", func(u float32) float32 { return u })
	want := float32s(t, golden.File, name+".pred_eval")
	allowed := tolerance * max(1, largestOf(want))
	near(t, "forecast", forwardAll(m, x), want, allowed)

	trainer := startTrainer(t, m, stepOptions{batch: 2, threads: 2})
	loss := trainer.gradient(batchOf(c, x, y, nil))
	near(t, "loss", []float32{float32(loss)}, []float32{float32(said.Loss)}, tolerance*max(1, said.Loss))
	near(t, "forecast in training", trainer.forecasts(2), float32s(t, golden.File, name+".pred_train"), allowed)
	for _, tensor := range m.named {
		if tensor.role == meanRole || tensor.role == varianceRole {
			near(t, tensor.name, tensor.values, float32s(t, golden.File, name+".after."+tensor.name), tolerance)
		}
	}
	gradients := trainer.gradientByName()
	if len(gradients) != len(said.Grads) {
		t.Errorf("%d gradients; want %d", len(gradients), len(said.Grads))
	}
	for name, gradient := range gradients {
		allowed := 1e-4 * said.Grads[name].L2
		if layer, zero := strings.CutSuffix(name, "k_proj.bias"); zero { // but for rounding
			allowed = 1e-4 * said.Grads[layer+"k_proj.weight"].L2
		}
		sameDigest(t, name, gradient, said.Grads[name], allowed)
	}
}

// sameDigest compares a gradient's norm, sum and product with a hash.
func sameDigest(t *testing.T, name string, gradient []float32, want struct{ L2, Sum, Hashdot float64 }, allowed float64) {
	t.Helper()
	weights := make([]float32, len(gradient))
	fillHash(weights, "dot:"+name, func(u float32) float32 { return u })
	var squares, sum, dot float64
	for i, v := range gradient {
		squares += float64(v) * float64(v)
		sum += float64(v)
		dot += float64(v) * float64(weights[i])
	}
	got := []float64{math.Sqrt(squares), sum, dot}
	for i, want := range []float64{want.L2, want.Sum, want.Hashdot} {
		if d := math.Abs(got[i] - want); !(d <= allowed) {
			t.Errorf("gradient of %s: %s is %v; want %v: off by %.2g, allowed %.2g", name, []string{"norm", "sum", "product"}[i], got[i], want, d, allowed)
		}
	}
}

// forwardAll forecasts window after window.
func forwardAll(m *Model, x []float32) []float32 {
	var y []float32
	for window := range slices.Chunk(x, m.Config().ContextLength*m.Config().Channels) {
		y = append(y, m.Forward(nil, window)...)
	}
	return y
}

// TestConcurrentForecasts gives every goroutine its own answer.
func TestConcurrentForecasts(t *testing.T) {
	golden := openGolden(t, "tiny_base.safetensors")
	m := golden.checkpoint(t, "init.").load(t)
	x, want := float32s(t, golden.File, "past_values"), float32s(t, golden.File, "pred_eval_init")
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			x, want := x[i*20*3:][:20*3], want[i*4*3:][:4*3]
			dst := make([]float32, 0, 4*3)
			for range 50 {
				dst = m.Forward(dst, x)
				near(t, fmt.Sprint("window ", i), dst, want, tolerance)
			}
		})
	}
	group.Wait()
}

// TestSilentChannel keeps a NaN in its own channel.
func TestSilentChannel(t *testing.T) {
	golden := openGolden(t, "tiny_base.safetensors")
	m := golden.checkpoint(t, "init.").load(t)
	x := float32s(t, golden.File, "past_values")[:20*3]
	want := m.Forward(nil, x)
	x[7*3+1] = float32(math.NaN())
	for i, y := range m.Forward(nil, x) {
		if silent := i%3 == 1; silent != math.IsNaN(float64(y)) || !silent && y != want[i] {
			t.Errorf("number %d (channel %d) is %v", i, i%3, y)
		}
	}
}

// TestBatches gives each window of a batch its own forecast, in the memory
// that it was given.
func TestBatches(t *testing.T) {
	golden := openGolden(t, "tiny_scaling_std_mask.safetensors")
	m := golden.checkpoint(t, "init.").load(t)
	x, observed, want := float32s(t, golden.File, "past_values"), golden.mask(t), float32s(t, golden.File, "pred_eval_init")
	for windows := range 7 {
		dst := make([]float32, 3, 6*4*3)
		got := m.ForwardBatch(dst, x[:windows*20*3], observed[:windows*20*3])
		near(t, fmt.Sprint(windows, " windows"), got, want[:windows*4*3], tolerance)
		if &got[:1][0] != &dst[0] {
			t.Errorf("%d windows: the forecast is not where it was asked to be", windows)
		}
	}
}

// TestForecastsAllocateNothing once a workspace is there.
func TestForecastsAllocateNothing(t *testing.T) {
	for _, c := range []Config{small(), small(acrossToo, token, meanScale), small(layerNorms, postNorm, flatten, stdScale)} {
		m := mustNew(t, c)
		x, observed := waves(5*c.ContextLength, c.Channels).Values, make([]bool, 5*c.ContextLength*c.Channels)
		dst := m.ForwardBatch(nil, x, observed)
		one := x[:c.ContextLength*c.Channels]
		for what, forecast := range map[string]func(){
			"one window":      func() { m.Forward(dst, one) },
			"a batch":         func() { m.ForwardBatch(dst, x, nil) },
			"with some marks": func() { m.ForwardBatch(dst, x, observed) },
		} {
			if n := testing.AllocsPerRun(100, forecast); n != 0 {
				t.Errorf("%s: %v allocations", what, n)
			}
		}
	}
}

// TestForecastsOfWrongSizesPanic: the caller has a bug.
func TestForecastsOfWrongSizesPanic(t *testing.T) {
	m := mustNew(t, small())
	for what, call := range map[string]func(){
		"a window too long": func() { m.Forward(nil, make([]float32, 37)) },
		"two windows":       func() { m.Forward(nil, make([]float32, 72)) },
		"half a window":     func() { m.ForwardBatch(nil, make([]float32, 54), nil) },
		"marks missing":     func() { m.ForwardBatch(nil, make([]float32, 72), make([]bool, 36)) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.HasPrefix(fmt.Sprint(r), "BUG: patchtst: ") {
					t.Errorf("%s: recovered %v", what, r)
				}
			}()
			call()
		}()
	}
}

// BenchmarkForward is one forecast of the deployed size.
func BenchmarkForward(b *testing.B) {
	m := hashModel(openGolden(b, "hash_models.safetensors").models["seed"].Config).load(b)
	x := make([]float32, 50*6)
	fillHash(x, "past_values", func(u float32) float32 { return u })
	dst := m.Forward(nil, x)
	for b.Loop() {
		dst = m.Forward(dst, x)
	}
}

// hashModel makes a model of the config's sizes with weights from a hash, as
// goldens.json describes.
func hashModel(config map[string]any) checkpoint {
	c := checkpoint{config, map[string]tensor{}}
	size := func(key string) int { return int(config[key].(float64)) }
	d, f := size("d_model"), size("ffn_dim")
	put := func(name string, u func(float32) float32, shape ...int) {
		n := 1
		for _, s := range shape {
			n *= s
		}
		values := make([]float32, n)
		fillHash(values, name, u)
		c.tensors[name] = tensor{shape, values}
	}
	small := func(u float32) float32 { return (u - 0.5) * 0.25 }
	positive := func(u float32) float32 { return u + 0.5 }
	linear := func(name string, in, out int) {
		put(name+".weight", small, out, in)
		put(name+".bias", small, out)
	}
	norm := func(name string) {
		put(name+".weight", positive, d)
		put(name+".bias", small, d)
		put(name+".running_mean", small, d)
		put(name+".running_var", positive, d)
	}
	linear("model.encoder.embedder.input_embedding", size("patch_length"), d)
	for i := range size("num_hidden_layers") {
		layer := fmt.Sprintf("model.encoder.layers.%d.", i)
		for _, name := range []string{"q_proj", "k_proj", "v_proj", "out_proj"} {
			linear(layer+"self_attn."+name, d, d)
		}
		norm(layer + "norm_sublayer1.batchnorm")
		norm(layer + "norm_sublayer3.batchnorm")
		linear(layer+"ff.0", d, f)
		linear(layer+"ff.3", f, d)
	}
	patches := (size("context_length")-size("patch_length"))/size("patch_stride") + 1
	head := d
	if config["pooling_type"] == nil {
		head = patches * d
	}
	linear("head.projection", head, size("prediction_length"))
	table := make([]float32, patches*d)
	fillSincos(table, patches, d)
	c.tensors["model.encoder.positional_encoder.position_enc"] = tensor{[]int{patches, d}, table}
	return c
}

// fillHash draws the numbers u in [0,1) of a tensor's name (splitmix64 seeded
// by FNV-1a) and maps them.
func fillHash(values []float32, name string, from func(u float32) float32) {
	seed := uint64(14695981039346656037)
	for _, b := range []byte(name) {
		seed = (seed ^ uint64(b)) * 1099511628211
	}
	for i := range values {
		z := seed + uint64(i+1)*0x9E3779B97F4A7C15
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		values[i] = from(float32(z>>40) / (1 << 24))
	}
}
