package safetensors

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRoundTrip writes any tensors and reads them back bit for bit, NaN and
// all.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := map[string]Value{}
		for range rapid.IntRange(0, 6).Draw(t, "tensors") {
			name := rapid.String().Filter(func(s string) bool { return s != metadataKey }).Draw(t, "name")
			shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(t, "shape")
			n := 1
			for _, s := range shape {
				n *= s
			}
			v := Value{Name: name, Shape: shape}
			switch rapid.IntRange(0, 2).Draw(t, "type") {
			case 0:
				v.Values = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float32 { return math.Float32frombits(rapid.Uint32().Draw(t, "bits")) }), n, n).Draw(t, "values")
			case 1:
				v.Values = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 { return math.Float64frombits(rapid.Uint64().Draw(t, "bits")) }), n, n).Draw(t, "values")
			default:
				v.Values = rapid.SliceOfN(rapid.Int64(), n, n).Draw(t, "values")
			}
			values[name] = v
		}
		metadata := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "metadata")
		var buffer bytes.Buffer
		if err := Write(&buffer, slices.Collect(maps.Values(values)), metadata); err != nil {
			t.Fatal(err)
		}
		f, err := read(buffer.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Tensors()) != len(values) || !maps.Equal(f.Metadata(), metadata) {
			t.Fatalf("%d tensors of %d; metadata %q of %q", len(f.Tensors()), len(values), f.Metadata(), metadata)
		}
		for name, v := range values {
			sameValue(t, f, name, v)
		}
	})
}

func sameValue(t *rapid.T, f *File, name string, v Value) {
	tensor, _ := f.Find(name)
	if !slices.Equal(tensor.Shape, v.Shape) {
		t.Fatalf("%q has shape %v; want %v", name, tensor.Shape, v.Shape)
	}
	var got any
	var err error
	same := false
	switch want := v.Values.(type) {
	case []float32:
		var values []float32
		values, err = f.Float32(name)
		got, same = values, slices.EqualFunc(values, want, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
	case []float64:
		var values []float64
		values, err = f.Float64(name)
		got, same = values, slices.EqualFunc(values, want, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
	case []int64:
		var values []int64
		values, err = f.Int64(name)
		got, same = values, slices.Equal(values, want)
	}
	if err != nil || !same {
		t.Fatalf("%q is %v, %v; want %v", name, got, err, v.Values)
	}
}

// TestWritesAligned puts 8-byte elements first and pads the header.
func TestWritesAligned(t *testing.T) {
	var buffer bytes.Buffer
	err := Write(&buffer, []Value{
		{"b", []int{1}, []float32{1}}, {"a", nil, []float32{2}}, {"n", nil, []int64{3}},
	}, map[string]string{"format": "pt"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := read(buffer.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, tensor := range f.Tensors() {
		order = append(order, fmt.Sprint(tensor.Name, tensor.from))
	}
	if got := strings.Join(order, " "); got != "n0 a8 b12" || (buffer.Len()-16)%alignment != 0 {
		t.Errorf("order %s in %d bytes", got, buffer.Len())
	}
}

func TestRefusesToWrite(t *testing.T) {
	for _, c := range []struct {
		values []Value
		want   string
	}{
		{[]Value{{"w", []int{2}, []float32{1}}}, `tensor "w": shape [2] has 2 elements, but there are 1 values`},
		{[]Value{{"w", []int{-1}, []float32{}}}, `tensor "w": shape [-1] is not one`},
		{[]Value{{"w", []int{1}, []int{1}}}, `tensor "w": its values are []int`},
		{[]Value{{"w", []int{1, 1, 1, 1, 1, 1, 1, 1, 1}, []float32{1}}}, "at most 8 are written"},
		{[]Value{{"__metadata__", nil, []float32{1}}}, "the name is taken"},
		{[]Value{{"w\xff", nil, []float32{1}}}, "the name is not UTF-8"},
		{[]Value{{"w", nil, []float32{1}}, {"w", nil, []float64{1}}}, `tensor "w" is there twice`},
	} {
		if err := Write(&bytes.Buffer{}, c.values, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v; want %q", err, c.want)
		}
	}
	if err := Write(fullDisk{}, []Value{{"w", []int{1}, []float32{1}}}, nil); !errors.Is(err, errFull) {
		t.Errorf("error %v; want %v", err, errFull)
	}
}

var errFull = errors.New("disk full")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }
