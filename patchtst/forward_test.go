package patchtst

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tolerance of the goldens, absolute.
const tolerance = 1e-5

// TestGoldens compares the small models with transformers, as they were before
// training and after five steps of it.
func TestGoldens(t *testing.T) {
	for _, name := range []string{"tiny_base", "tiny_context21_start1", "tiny_stride_gt_patch"} {
		golden := openGolden(t, name+".safetensors")
		for _, stage := range []string{"init", "step5"} {
			t.Run(name+"/"+stage, func(t *testing.T) {
				m := golden.checkpoint(t, stage+".").load(t)
				near(t, "forecast", forwardAll(m, float32s(t, golden.File, "past_values")), float32s(t, golden.File, "pred_eval_"+stage), tolerance)
			})
		}
	}
}

// checkpoint takes the tensors whose names start with the prefix.
func (g goldenFile) checkpoint(t testing.TB, prefix string) checkpoint {
	t.Helper()
	c := checkpoint{maps.Clone(g.config), map[string]tensor{}}
	for _, listed := range g.Tensors() {
		name, ours := strings.CutPrefix(listed.Name, prefix)
		if ours && listed.Type == "F32" {
			c.tensors[name] = tensor{listed.Shape, float32s(t, g.File, listed.Name)}
		}
	}
	// The position table is no parameter and so not in the states after a step.
	const position = "model.encoder.positional_encoder.position_enc"
	if _, there := c.tensors[position]; !there {
		listed, _ := g.Find("init." + position)
		c.tensors[position] = tensor{listed.Shape, float32s(t, g.File, listed.Name)}
	}
	return c
}

// TestDeployedSize compares a model of the deployed size, whose weights come
// from a hash, with transformers.
func TestDeployedSize(t *testing.T) {
	golden := openGolden(t, "hash_models.safetensors")
	m := hashModel(golden.models["seed"].Config).load(t)
	if m.Parameters() != 269_962 {
		t.Errorf("%d parameters; want 269,962", m.Parameters())
	}
	x := make([]float32, 2*50*6)
	fillHash(x, "past_values", func(u float32) float32 { return u })
	near(t, "forecast", forwardAll(m, x), float32s(t, golden.File, "seed.pred_eval"), tolerance)
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

// TestMultiply compares the tiles with the loop that they equal, at every
// remainder.
func TestMultiply(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) []float32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = r.Float32() - 0.5
		}
		return values
	}
	for _, rows := range []int{1, 2, 3, 4, 5} {
		for in := 1; in <= 9; in++ {
			for out := 1; out <= 9; out++ {
				x, w, bias := draw(rows*in), draw(out*in), draw(out)
				want := make([]float32, rows*out)
				for r := range rows {
					for o := range out {
						want[r*out+o] = bias[o]
						for i := range in {
							want[r*out+o] += x[r*in+i] * w[o*in+i]
						}
					}
				}
				got := make([]float32, rows*out)
				multiply(got, x, w, bias, in, out)
				near(t, fmt.Sprintf("%dx%d by %d", rows, in, out), got, want, 1e-6)
			}
		}
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
	linear("head.projection", d, size("prediction_length"))
	patches := (size("context_length")-size("patch_length"))/size("patch_stride") + 1
	c.tensors["model.encoder.positional_encoder.position_enc"] = tensor{[]int{patches, d}, sincos(patches, d)}
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

// sincos is the position table that training starts from: sines and cosines
// shifted to mean 0 and scaled to deviation 0.1 over the whole table.
func sincos(rows, width int) []float32 {
	table := make([]float64, rows*width)
	var sum float64
	for n := range rows {
		for i := 0; i < width; i += 2 {
			s, c := math.Sincos(float64(n) * math.Exp(-float64(i)*math.Log(10000)/float64(width)))
			table[n*width+i], table[n*width+i+1] = s, c
			sum += s + c
		}
	}
	mean, squares := sum/float64(len(table)), 0.0
	for _, v := range table {
		squares += (v - mean) * (v - mean)
	}
	deviation := math.Sqrt(squares / float64(len(table)-1))
	values := make([]float32, len(table))
	for i, v := range table {
		values[i] = float32((v - mean) / (10 * deviation))
	}
	return values
}
