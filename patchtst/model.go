package patchtst

import (
	"fmt"
	"sync"

	"fettle/patchtst/internal/kernel"
)

// A Model is a PatchTST: ready to forecast, and to be trained by Fit. While
// nobody trains it, it does not change, and may be used from any number of
// goroutines at once.
type Model struct {
	config      Config
	forecasting Config    // the same without dropout
	other       otherKeys // of the config.json that it was loaded from
	numbers     numbers
	tensors     tensors // pieces of the numbers
	named       []named // the same, by HuggingFace's names
	norms       []normalizer
	kernels     *kernel.Kernels
	layers      *layers   // packed for forecasts
	first       *first    // likewise; nil if the first attention is as the others
	workspaces  sync.Pool // of *workspace: one for each forecast under way
}

// newModel makes a model whose numbers are all zero.
func newModel(c Config) *Model {
	m := &Model{config: c, forecasting: c.withoutDropout(), numbers: newNumbers(c)}
	m.tensors, m.named = m.numbers.bind(c)
	m.norms = fill(func(a *arena) []normalizer { return newNormalizers(a, c, m.tensors.blocks, false) })
	if c.hasFirst() {
		m.first = fill(func(a *arena) *first { return newFirst(a, c, false) })
	}
	m.workspaces.New = func() any {
		return fill(func(a *arena) *workspace { return newWorkspace(a, c, m.tensors.blocks) })
	}
	m.use(fastest())
	return m
}

// use makes a model compute by some kernels, whose packed weights are their
// own. Afterwards it must be prepared.
func (m *Model) use(k *kernel.Kernels) {
	m.kernels = k
	m.layers = fill(func(a *arena) *layers { return newLayers(a, k, m.config, &m.tensors, false) })
}

// New makes an untrained model: its weights are drawn as transformers draws
// them, from the seed. The same seed makes the same bits.
func New(c Config, seed uint64) (*Model, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("patchtst: config: %w", err)
	}
	m := newModel(c)
	for _, t := range m.named {
		initialise(t, c, seed)
	}
	m.prepare()
	return m, nil
}

// fastest are the kernels that this processor is fastest with.
var fastest = sync.OnceValue(kernel.Fastest)

// prepare takes the weights into the layers and the running statistics into
// the norms: the model's numbers have changed.
func (m *Model) prepare() {
	for i := range m.norms {
		m.norms[i].useRunning()
	}
	for _, l := range m.layers.list() {
		l.pack(m.kernels)
	}
	if m.first != nil {
		m.first.prepare(m.kernels, &m.tensors, m.layers, &m.norms[0])
	}
}

// Config says which computation the model is.
func (m *Model) Config() Config { return m.config }

// Parameters counts the model's parameters, the position table included, as
// PyTorch's sum over model.parameters() does.
func (m *Model) Parameters() int {
	sum := 0
	for _, t := range m.named {
		if t.role.parameter() {
			sum += len(t.values)
		}
	}
	return sum
}

// Kernels names the processor's instructions that the model computes with: the
// same ones make the same bits.
func (m *Model) Kernels() string { return m.kernels.String() }
