package safetensors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// metadataKey is the header's one key that names no tensor.
const metadataKey = "__metadata__"

// entry is one tensor as the header spells it.
type entry struct {
	Type    string   `json:"dtype"`
	Shape   []uint64 `json:"shape"`
	Offsets []uint64 `json:"data_offsets"`
}

// parseHeader checks everything a header says against the size of the data
// that follows it, and returns the tensors in the order of their data, and the
// texts that stand beside them.
func parseHeader(header []byte, dataSize int64) ([]Tensor, map[string]string, error) {
	entries, metadata, err := decodeHeader(header)
	if err != nil {
		return nil, nil, err
	}
	tensors := make([]Tensor, 0, len(entries))
	for name, e := range entries {
		t, err := e.tensor(name, dataSize)
		if err != nil {
			return nil, nil, err
		}
		tensors = append(tensors, t)
	}
	// Empty tensors share their offset with a neighbour; the name decides then,
	// so that the order is the same each time.
	slices.SortFunc(tensors, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.Name, b.Name))
	})
	return tensors, metadata, checkCover(tensors, dataSize)
}

// decodeHeader decodes the JSON key by key, because a key that comes twice, of
// which encoding/json would silently take one, must be refused.
func decodeHeader(header []byte) (map[string]entry, map[string]string, error) {
	decoder := json.NewDecoder(bytes.NewReader(header))
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, nil, fmt.Errorf("header is not a JSON object: it starts with %q", header[:min(16, len(header))])
	}
	entries := map[string]entry{}
	var metadata map[string]string
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("decode header at byte %d: %w", decoder.InputOffset(), err)
		}
		name := token.(string) // a key of an object is always a string
		if name == metadataKey {
			if err := decoder.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("decode header: %s: %w", metadataKey, err)
			}
			continue
		}
		var e entry
		if err := decoder.Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("decode header: tensor %q: %w", name, err)
		}
		if _, twice := entries[name]; twice {
			return nil, nil, fmt.Errorf("decode header: tensor %q is there twice", name)
		}
		if len(entries) == MaxTensors {
			return nil, nil, fmt.Errorf("decode header: more than %d tensors", MaxTensors)
		}
		entries[name] = e
	}
	if _, err := decoder.Token(); err != nil {
		return nil, nil, fmt.Errorf("decode header at byte %d: %w", decoder.InputOffset(), err)
	}
	// Writers pad the header with spaces to align the data.
	if rest := bytes.TrimRight(header[decoder.InputOffset():], " "); len(rest) > 0 {
		return nil, nil, fmt.Errorf("decode header: %d bytes follow the JSON object", len(rest))
	}
	return entries, metadata, nil
}

// tensor checks one entry: a known type, and offsets that hold exactly the
// shape's elements inside the data.
func (e entry) tensor(name string, dataSize int64) (Tensor, error) {
	refuse := func(format string, args ...any) (Tensor, error) {
		return Tensor{}, fmt.Errorf("tensor %q: "+format, append([]any{name}, args...)...)
	}
	size, known := sizes[e.Type]
	switch {
	case !known:
		return refuse("dtype is %q, which is not known", e.Type)
	case len(e.Shape) > MaxDims:
		return refuse("shape has %d dimensions; at most %d are read", len(e.Shape), MaxDims)
	case len(e.Offsets) != 2:
		return refuse("data_offsets has %d numbers; expected from and to", len(e.Offsets))
	}
	from, to := e.Offsets[0], e.Offsets[1]
	if from > to || to > uint64(dataSize) {
		return refuse("data_offsets are [%d, %d], but the data is %d bytes: the file is cut short or its header is wrong", from, to, dataSize)
	}
	want, shape := uint64(size), make([]int, len(e.Shape))
	for i, n := range e.Shape {
		// Dividing instead of multiplying keeps a huge shape from wrapping round
		// to a small one.
		if n > math.MaxInt32 || n > 0 && want > math.MaxInt64/n {
			return refuse("shape %v is too large", e.Shape)
		}
		want, shape[i] = want*n, int(n)
	}
	if want != to-from {
		return refuse("shape %v of %s takes %d bytes, but data_offsets [%d, %d] hold %d", e.Shape, e.Type, want, from, to, to-from)
	}
	return Tensor{Name: name, Type: e.Type, Shape: shape, from: int64(from), to: int64(to)}, nil
}

// checkCover makes sure that the tensors, sorted, cover the data: no byte
// belongs to two of them or to none.
func checkCover(tensors []Tensor, dataSize int64) error {
	var end int64
	for i, t := range tensors {
		if t.from < end {
			return fmt.Errorf("tensor %q overlaps %q: it starts at byte %d of the data, the other ends at %d", t.Name, tensors[i-1].Name, t.from, end)
		}
		if t.from > end {
			return fmt.Errorf("tensor %q starts at byte %d of the data; expected %d: a hole", t.Name, t.from, end)
		}
		end = t.to
	}
	if end != dataSize {
		return fmt.Errorf("the tensors end at byte %d of the data, which has %d", end, dataSize)
	}
	return nil
}
