package patchtst

import (
	"strings"
	"testing"
)

// TestShortcuts compares steps that take the shortcuts of the first attention
// and the last feed-forward block with steps that take the plain path: a
// dropout too small to drop anything closes a shortcut and changes nothing.
func TestShortcuts(t *testing.T) {
	plain := func(c *Config) { c.PositionalDropout, c.PathDropout = 1e-12, 1e-12 }
	for _, v := range []struct {
		name   string
		config Config
	}{
		{"small", small()},
		{"learned positions, standard scaling", small(learned, stdScale)},
		{"relu without bias", small(withRelu, noBias)},
		{"channel attention", small(acrossToo)},
		{"dropout at the other sites", small(dropouts, func(c *Config) { c.PositionalDropout, c.PathDropout = 0, 0 })},
		{"only the first", small(maxPool)},
		{"only the last", small(separate)},
		{"deployed", Deployed()},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := v.config
			past, future := make([]float32, 6*c.ContextLength*c.Channels), make([]float32, 6*c.PredictionLength*c.Channels)
			draw(past, 1)
			draw(future, 2)
			b := batchOf(c, past, future, nil)
			one := func(change ...func(*Config)) (*Model, *trainer, float64) {
				c := v.config
				for _, f := range change {
					f(&c)
				}
				m := mustNew(t, c)
				shake(m, 6)
				trainer := startTrainer(t, m, stepOptions{batch: 6, seed: 3, threads: 2})
				trainer.gradient(b) // whose sums must not stay
				for k := range trainer.shards {
					clear(trainer.shards[k].gradient)
				}
				return m, trainer, trainer.gradient(b)
			}
			m, short, loss := one()
			_, long, want := one(plain)
			if !(c.hasFirst() || c.hasLast()) || long.first != nil {
				t.Fatal("the two take the same path")
			}
			near(t, "loss", []float32{float32(loss)}, []float32{float32(want)}, 1e-5*max(1, want))
			got, plainly := short.gradientByName(), long.gradientByName()
			for _, tensor := range m.named {
				if tensor.role.trained() {
					allowed := 1e-4*largestOf(plainly[tensor.name]) + 1e-6
					if layer, zero := strings.CutSuffix(tensor.name, "k_proj.bias"); zero { // but for rounding
						allowed = 1e-4 * largestOf(plainly[layer+"k_proj.weight"])
					}
					near(t, tensor.name, got[tensor.name], plainly[tensor.name], allowed)
				}
			}
		})
	}
}
