//go:build peers

package patchtst

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fettle/patchtst/safetensors"
)

// TestTransformers goes through the real transformers and back: models that
// were saved here load there with no key missing, unexpected or misshapen, and
// make the same numbers, in training too, dropout included; models that were
// saved there load here.
func TestTransformers(t *testing.T) {
	peers := peerModels()
	dir := t.TempDir()
	for _, p := range peers {
		p.write(t, dir)
	}
	command := exec.Command("../scripts/peers/transformers.sh", "testdata/peer.py", dir)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) { p.compare(t, filepath.Join(dir, p.name)) })
	}
}

// A peer is a model that both sides compute.
type peer struct {
	name     string
	model    *Model
	past     []float32 // (B, L, C)
	future   []float32 // (B, T, C)
	observed []bool
}

const (
	peerWindows = 6
	peerSeed    = 11
	peerStep    = 3 // steps taken before, as dropout counts
)

func peerModels() []peer {
	deployed := Deployed()
	dropouts(&deployed)
	var peers []peer
	for _, p := range []struct {
		name   string
		config Config
		masked bool
	}{
		{"deployed", Deployed(), false},
		{"deployed-dropout", deployed, false},
		{"post-norm-flat-layer-norm", small(postNorm, layerNorms, flatten, dropouts), false},
		{"post-norm-max", small(postNorm, maxPool, dropouts), false},
		{"token-learned-separate", small(token, learned, separate, dropouts), false},
		{"channel-attention-relu-no-bias", small(acrossToo, withRelu, noBias, dropouts), false},
		{"channel-attention-token-post-norm", small(acrossToo, token, postNorm, dropouts), false},
		{"long-dropout", small(long, dropouts), false},
		{"standard-scaling-masked", small(stdScale), true},
		{"mean-scaling-masked", small(meanScale), true},
	} {
		m, err := New(p.config, 1)
		if err != nil {
			panic(err)
		}
		c := p.config
		made := peer{name: p.name, model: m,
			past: make([]float32, peerWindows*c.ContextLength*c.Channels), future: make([]float32, peerWindows*c.PredictionLength*c.Channels)}
		shakeGently(m)
		draw(made.past, 3)
		draw(made.future, 4)
		made.observed = slices.Repeat([]bool{true}, len(made.past))
		for i := range made.observed {
			// Some numbers here and there, and all of a channel in one window.
			if p.masked && (i%7 == 0 || i < c.ContextLength*c.Channels && i%c.Channels == 1) {
				made.observed[i], made.past[i] = false, 0
			}
		}
		peers = append(peers, made)
	}
	return peers
}

// shakeGently moves the weights away from where training starts, and the
// running statistics too.
func shakeGently(m *Model) {
	noise := make([]float32, len(m.numbers.trained))
	draw(noise, 2)
	for i, v := range noise {
		m.numbers.trained[i] += 0.1 * v
	}
	for _, tensor := range m.named {
		if tensor.role == meanRole || tensor.role == varianceRole {
			for i := range tensor.values {
				tensor.values[i] += 0.1 * noise[i]
			}
		}
	}
	m.prepare()
}

// write saves the model and its inputs.
func (p peer) write(t *testing.T, dir string) {
	t.Helper()
	if err := p.model.Save(filepath.Join(dir, p.name)); err != nil {
		t.Fatal(err)
	}
	c := p.model.Config()
	marks := make([]float32, len(p.observed))
	for i, measured := range p.observed {
		if measured {
			marks[i] = 1
		}
	}
	file, err := os.Create(filepath.Join(dir, p.name, "input.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	err = safetensors.Write(file, []safetensors.Value{
		{Name: "past", Shape: []int{peerWindows, c.ContextLength, c.Channels}, Values: p.past},
		{Name: "observed", Shape: []int{peerWindows, c.ContextLength, c.Channels}, Values: marks},
		{Name: "future", Shape: []int{peerWindows, c.PredictionLength, c.Channels}, Values: p.future},
	}, map[string]string{"seed": "11", "step": "3"})
	if err != nil {
		t.Fatal(err)
	}
}

// compare does here what was done there.
func (p peer) compare(t *testing.T, dir string) {
	answer := openTensors(t, filepath.Join(dir, "answer.safetensors"))
	near(t, "forecast", p.model.ForwardBatch(nil, p.past, p.observed), float32s(t, answer, "eval"), tolerance)

	fresh, err := Load(filepath.Join(dir, "peer"))
	if err != nil {
		t.Fatal(err)
	}
	if fresh.Config() != p.model.Config() {
		t.Errorf("config came back as %+v; want %+v", fresh.Config(), p.model.Config())
	}
	fromThere := openTensors(t, filepath.Join(dir, "peer", "answer.safetensors"))
	near(t, "forecast of the model from there", fresh.ForwardBatch(nil, p.past, p.observed), float32s(t, fromThere, "eval"), tolerance)

	trainer := startTrainer(t, p.model, stepOptions{batch: peerWindows, seed: peerSeed, threads: 2})
	trainer.steps = peerStep
	loss := trainer.gradient(batchOf(p.model.Config(), p.past, p.future, p.observed))
	near(t, "loss", []float32{float32(loss)}, float32s(t, answer, "loss"), tolerance)
	near(t, "forecast in training", trainer.forecasts(peerWindows), float32s(t, answer, "train"), tolerance)
	gradients := trainer.gradientByName()
	var most float64
	for name := range gradients {
		most = max(most, largestOf(float32s(t, answer, "grad."+name)))
	}
	for name, gradient := range gradients {
		want := float32s(t, answer, "grad."+name)
		// A gradient that is zero but for rounding has no scale of its own.
		near(t, "gradient of "+name, gradient, want, 1e-4*max(largestOf(want), 1e-2*most))
	}
	for _, tensor := range p.model.named {
		if tensor.role == meanRole || tensor.role == varianceRole {
			near(t, tensor.name, tensor.values, float32s(t, answer, "after."+tensor.name), tolerance)
		}
	}
	for _, listed := range answer.Tensors() {
		name, gradient := strings.CutPrefix(listed.Name, "grad.")
		if _, ours := gradients[name]; gradient && !ours && name != positionTable {
			t.Errorf("transformers trains %s; here it is not trained", name)
		}
	}
}
