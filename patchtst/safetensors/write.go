package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"
)

// A Value is a tensor to write.
type Value struct {
	Name   string
	Shape  []int
	Values any // []float32, []float64 or []int64, row major: the tensor's type
}

// alignment of the data in bytes, for those who map a file into memory.
const alignment = 8

// Write writes a file of tensors, which Read reads back bit for bit. The order
// in the file is safetensors' own, the largest elements first and then by name,
// so that every tensor is aligned and equal tensors make equal files. metadata
// may be nil; transformers wants {"format": "pt"}.
func Write(w io.Writer, values []Value, metadata map[string]string) error {
	tensors, err := describe(values)
	if err != nil {
		return err
	}
	header, err := encodeHeader(tensors, metadata)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, chunk)
	out.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header))))
	out.Write(header)
	for _, t := range tensors {
		writeValues(out, t.values)
	}
	// The writer keeps its first error, and answers it here.
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write tensors: %w", err)
	}
	return nil
}

// placed is a tensor with its place in the data.
type placed struct {
	Tensor
	values any
}

// describe checks the tensors, sorts them and gives each its place.
func describe(values []Value) ([]placed, error) {
	if len(values) > MaxTensors {
		return nil, fmt.Errorf("%d tensors; at most %d are written", len(values), MaxTensors)
	}
	tensors := make([]placed, 0, len(values))
	for _, v := range values {
		refuse := func(format string, args ...any) ([]placed, error) {
			return nil, fmt.Errorf("tensor %q: "+format, append([]any{v.Name}, args...)...)
		}
		kind, length := "", 0
		switch values := v.Values.(type) {
		case []float32:
			kind, length = "F32", len(values)
		case []float64:
			kind, length = "F64", len(values)
		case []int64:
			kind, length = "I64", len(values)
		default:
			return refuse("its values are %T; expected []float32, []float64 or []int64", v.Values)
		}
		size := 1
		for _, n := range v.Shape {
			if n < 0 || n > 0 && size > math.MaxInt/n {
				return refuse("shape %v is not one", v.Shape)
			}
			size *= n
		}
		switch {
		case size != length:
			return refuse("shape %v has %d elements, but there are %d values", v.Shape, size, length)
		case len(v.Shape) > MaxDims:
			return refuse("shape has %d dimensions; at most %d are written", len(v.Shape), MaxDims)
		case v.Name == metadataKey:
			return refuse("the name is taken")
		case !utf8.ValidString(v.Name):
			return refuse("the name is not UTF-8")
		}
		tensors = append(tensors, placed{Tensor{Name: v.Name, Type: kind, Shape: v.Shape, to: int64(length * sizes[kind])}, v.Values})
	}
	slices.SortFunc(tensors, func(a, b placed) int {
		return cmp.Or(cmp.Compare(sizes[b.Type], sizes[a.Type]), cmp.Compare(b.Type, a.Type), cmp.Compare(a.Name, b.Name))
	})
	var end int64
	for i := range tensors {
		t := &tensors[i]
		t.from, t.to = end, end+t.to
		end = t.to
	}
	return tensors, nil
}

// encodeHeader makes the header, padded so that the data is aligned.
func encodeHeader(tensors []placed, metadata map[string]string) ([]byte, error) {
	entries := map[string]any{}
	if metadata != nil {
		entries[metadataKey] = metadata
	}
	for _, t := range tensors {
		if _, twice := entries[t.Name]; twice {
			return nil, fmt.Errorf("tensor %q is there twice", t.Name)
		}
		shape := append([]int{}, t.Shape...) // [] for a single number, not null
		entries[t.Name] = map[string]any{"dtype": t.Type, "shape": shape, "data_offsets": []int64{t.from, t.to}}
	}
	header, err := json.Marshal(entries)
	if err != nil {
		return nil, fmt.Errorf("encode header: %w", err)
	}
	if rest := len(header) % alignment; rest > 0 {
		header = append(header, bytes.Repeat([]byte(" "), alignment-rest)...)
	}
	if len(header) > MaxHeader {
		return nil, fmt.Errorf("header would be %d bytes; at most %d are written", len(header), MaxHeader)
	}
	return header, nil
}

func writeValues(out *bufio.Writer, values any) {
	var buffer [8]byte
	switch values := values.(type) {
	case []float32:
		for _, v := range values {
			binary.LittleEndian.PutUint32(buffer[:], math.Float32bits(v))
			out.Write(buffer[:4])
		}
	case []float64:
		for _, v := range values {
			binary.LittleEndian.PutUint64(buffer[:], math.Float64bits(v))
			out.Write(buffer[:])
		}
	case []int64:
		for _, v := range values {
			binary.LittleEndian.PutUint64(buffer[:], uint64(v))
			out.Write(buffer[:])
		}
	}
}
