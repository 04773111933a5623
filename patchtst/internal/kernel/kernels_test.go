package kernel

import "testing"

func TestFastest(t *testing.T) {
	k := Fastest()
	if len(Available()) > 1 && k.String() == "generic" {
		t.Errorf("the fastest of %v is %s", Available(), k)
	}
	same, ok := Named(k.String())
	if !ok || same.String() != k.String() {
		t.Errorf("Named(%q) is %v, %v", k, same, ok)
	}
	if _, ok := Named("abacus"); ok {
		t.Error("there is an abacus")
	}
	for _, k := range Available() {
		f32, bf16 := k.Speed()
		t.Logf("%s: %.1f GFLOP/s, %.1f of bfloat16", k, f32/1e9, bf16/1e9)
		if f32 <= 0 || (bf16 > 0) != k.HasBF16() {
			t.Errorf("%s: speed %g, %g", k, f32, bf16)
		}
	}
}

// TestNoAllocation: nothing in a training step may.
func TestNoAllocation(t *testing.T) {
	everyPath(t, func(t *testing.T, k *Kernels) {
		data := make([]float32, 40000)
		a, b, w := Dense(data, 138, 128), Dense(data[20000:], 138, 128), Dense(data[20000:], 128, 64)
		pairs := Dense(make([]Pair, 40000), 64, 138)
		c := Dense(make([]float32, 138*64), 138, 64)
		vector, wide := make([]float32, 128), make([]float64, 128)
		for name, work := range map[string]func(){
			"Multiply":           func() { k.Multiply(c, a, w, c) },
			"MultiplyTransposed": func() { k.MultiplyTransposed(Dense(data, 128, 128), a, b, Matrix{}) },
			"PackTransposed":     func() { k.PackTransposed(data[20000:], Dense(data, 128, 100)) },
			"PairRows":           func() { k.PairRows(Dense(pairs.Data, 69, 128), a) },
			"GELU":               func() { k.GELU(data, data) },
			"LayerNorm":          func() { k.LayerNorm(a, a, vector, vector, 1) },
			"Moments":            func() { k.Moments(wide, wide, a) },
			"SoftmaxRows":        func() { k.SoftmaxRows(a, 1) },
		} {
			if n := testing.AllocsPerRun(10, work); n > 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
