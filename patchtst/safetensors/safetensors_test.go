package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
)

// pack makes a file of a header and of data.
func pack(header string, data ...byte) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(file, header...), data...)
}

func read(file []byte) (*File, error) { return Read(bytes.NewReader(file), int64(len(file))) }

func TestReadsTensors(t *testing.T) {
	var data []byte
	for _, v := range []float64{1.5, math.Inf(-1)} {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	for _, v := range []float32{1, -2, 3, 4, 5, 6} {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	f, err := read(pack(`{"__metadata__":{"format":"pt"},
		"w":{"dtype":"F32","shape":[2,3],"data_offsets":[16,40]},
		"n":{"dtype":"I64","shape":[0],"data_offsets":[40,40]},
		"d":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}   `, data...))
	if err != nil {
		t.Fatal(err)
	}
	doubles, err := f.Float64("d")
	if err != nil || doubles[0] != 1.5 || !math.IsInf(doubles[1], -1) {
		t.Errorf("d = %v, %v", doubles, err)
	}
	floats, err := f.Float32("w")
	if err != nil || fmt.Sprint(floats) != "[1 -2 3 4 5 6]" {
		t.Errorf("w = %v, %v", floats, err)
	}
	if w, found := f.Find("w"); !found || fmt.Sprint(w.Shape) != "[2 3]" || w.Len() != 6 {
		t.Errorf("Find(w) = %+v, %v", w, found)
	}
	if _, err := f.Float32("d"); err == nil || !strings.Contains(err.Error(), `tensor "d": it is F64; expected F32`) {
		t.Errorf("wrong type: %v", err)
	}
	if _, err := f.Float32("x"); err == nil || !strings.Contains(err.Error(), `tensor "x": no such tensor`) {
		t.Errorf("missing: %v", err)
	}
}

// TestReadsLargeTensors crosses the border between two chunks.
func TestReadsLargeTensors(t *testing.T) {
	const n = chunk/4 + 1000
	var data []byte
	for i := range n {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i)))
	}
	f, err := read(pack(fmt.Sprintf(`{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}`, n, 4*n), data...))
	if err != nil {
		t.Fatal(err)
	}
	values, err := f.Float32("w")
	if err != nil || len(values) != n {
		t.Fatalf("%d values, %v", len(values), err)
	}
	for i, v := range values {
		if v != float32(i) {
			t.Fatalf("value %d is %v", i, v)
		}
	}
}

func TestRefuses(t *testing.T) {
	f32 := func(shape, offsets string) string {
		return `{"w":{"dtype":"F32","shape":` + shape + `,"data_offsets":` + offsets + `}}`
	}
	eight := make([]byte, 8)
	for _, c := range []struct {
		what string
		file []byte
		want string
	}{
		{"empty", nil, "file is 0 bytes"},
		{"huge header", []byte{0, 0, 0, 0, 0, 0, 0, 0x40}, "at most 16777216 are read"},
		{"cut in the header", pack(f32("[2]", "[0,8]"))[:30], "but only 22 follow: the file is cut short"},
		{"cut in the data", pack(f32("[2]", "[0,8]"), eight[:7]...), "but the data is 7 bytes: the file is cut short"},
		{"data too long", pack(f32("[1]", "[0,4]"), eight...), "the tensors end at byte 4 of the data, which has 8"},
		{"not JSON", pack("PK\x03\x04"), "header is not a JSON object"},
		{"an array", pack("[1]"), "header is not a JSON object"},
		{"JSON cut", pack(`{"w":{"dtype":"F32"`), `tensor "w"`},
		{"JSON never closed", pack(`{"__metadata__":{}`), "decode header at byte"},
		{"two objects", pack(`{}{}`), "2 bytes follow the JSON object"},
		{"a number for a tensor", pack(`{"w":1}`), `tensor "w"`},
		{"metadata not text", pack(`{"__metadata__":{"a":1}}`), "__metadata__"},
		{"unknown type", pack(`{"w":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}`, eight...), `dtype is "F31", which is not known`},
		{"no offsets", pack(`{"w":{"dtype":"F32","shape":[2]}}`, eight...), "data_offsets has 0 numbers"},
		{"negative offset", pack(f32("[2]", "[-1,7]"), eight...), `tensor "w"`},
		{"offsets reversed", pack(f32("[2]", "[8,0]"), eight...), "data_offsets are [8, 0]"},
		{"shape and offsets differ", pack(f32("[3]", "[0,8]"), eight...), "shape [3] of F32 takes 12 bytes, but data_offsets [0, 8] hold 8"},
		{"shape wraps round", pack(f32("[2147483647,2147483647,2147483647,4]", "[0,8]"), eight...), "is too large"},
		{"one dimension huge", pack(f32("[4611686018427387906]", "[0,8]"), eight...), "is too large"},
		{"too many dimensions", pack(f32("[1,1,1,1,1,1,1,1,2]", "[0,8]"), eight...), "at most 8 are read"},
		{"twice", pack(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, eight...), `tensor "w" is there twice`},
		{"overlap", pack(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, eight...), `tensor "b" overlaps "a"`},
		{"hole", pack(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, eight...), "a hole"},
	} {
		if _, err := read(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", c.what, err, c.want)
		}
	}
}

// FuzzRead feeds any bytes: they are refused, or every tensor can be read.
func FuzzRead(f *testing.F) {
	f.Add(pack(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, make([]byte, 8)...))
	f.Add(pack(`{"__metadata__":{"format":"pt"},"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"b":{"dtype":"BOOL","shape":[0],"data_offsets":[8,8]}}`, make([]byte, 8)...))
	f.Add(pack(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, make([]byte, 8)...))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0x40})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		file, err := read(bytes)
		if err != nil {
			return
		}
		total := 0
		for _, tensor := range file.Tensors() {
			total += tensor.Len() * sizes[tensor.Type]
			switch tensor.Type {
			case "F32":
				if v, err := file.Float32(tensor.Name); err != nil || len(v) != tensor.Len() {
					t.Fatalf("tensor %+v: %d values, %v", tensor, len(v), err)
				}
			case "F64":
				if v, err := file.Float64(tensor.Name); err != nil || len(v) != tensor.Len() {
					t.Fatalf("tensor %+v: %d values, %v", tensor, len(v), err)
				}
			}
		}
		if total > len(bytes) {
			t.Fatalf("tensors of %d bytes in a file of %d", total, len(bytes))
		}
	})
}
