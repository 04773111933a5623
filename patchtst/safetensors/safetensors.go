// Package safetensors reads and writes files of named tensors in HuggingFace's
// safetensors format. What comes in is a file that somebody else wrote; what
// goes out are tensors as plain slices, or an error that says what is wrong
// and where; and the other way round. It never reads a byte before the whole header has been checked,
// and it never allocates more than the file's own size asks for.
//
// The format, little endian throughout:
//
//	0        8           8+n                            size
//	+--------+-----------+------------------------------+
//	| n: u64 | header    | tensors, one after another   |
//	+--------+-----------+------------------------------+
//
// The header is a JSON object, {"name": {"dtype": "F32", "shape": [2, 3],
// "data_offsets": [from, to]}, ...}, offsets counted from 8+n. The key
// __metadata__ holds texts instead of a tensor. Tensors cover the data without
// a hole and without overlap. Values are row major.
package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Limits of what is read; a file beyond them is refused with the limit named.
const (
	MaxHeader  = 16 << 20 // bytes of header
	MaxTensors = 100_000  // tensors in one file
	MaxDims    = 8        // dimensions of one tensor
)

// A Tensor says what one tensor of a file is, without its values.
type Tensor struct {
	Name  string
	Type  string // as the file spells it: F32, F64, I64, ...
	Shape []int  // empty for a single number
	from  int64  // first byte, counted from the start of the data
	to    int64  // byte after the last
}

// Len counts the tensor's elements.
func (t Tensor) Len() int { return int(t.to-t.from) / sizes[t.Type] }

// sizes of the element types, in bytes.
var sizes = map[string]int{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1,
	"U16": 2, "I16": 2, "F16": 2, "BF16": 2,
	"U32": 4, "I32": 4, "F32": 4,
	"U64": 8, "I64": 8, "F64": 8,
}

// A File is an open file of tensors. Its methods may be called from several
// goroutines at once.
type File struct {
	tensors  []Tensor          // in the order of their data
	metadata map[string]string // may be nil
	byName   map[string]int
	data     io.ReaderAt // the bytes after the header
	close    func() error
}

// Open opens the file and checks its header. The caller closes it.
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open safetensors file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open safetensors file: %w", err)
	}
	f, err := Read(file, info.Size())
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	f.close = file.Close
	return f, nil
}

// Read checks the header of a file of the given size; tensors are read from r
// when they are asked for.
func Read(r io.ReaderAt, size int64) (*File, error) {
	if size < 8 {
		return nil, fmt.Errorf("file is %d bytes; a safetensors file starts with 8 bytes of header length", size)
	}
	var prefix [8]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, fmt.Errorf("read header length: %w", err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	switch {
	case length > MaxHeader:
		return nil, fmt.Errorf("header length is %d bytes; at most %d are read", length, MaxHeader)
	case int64(length) > size-8:
		return nil, fmt.Errorf("header length is %d bytes, but only %d follow: the file is cut short", length, size-8)
	}
	header := make([]byte, length)
	if _, err := r.ReadAt(header, 8); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	dataSize := size - 8 - int64(length)
	tensors, metadata, err := parseHeader(header, dataSize)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]int, len(tensors))
	for i, t := range tensors {
		byName[t.Name] = i
	}
	return &File{tensors, metadata, byName, io.NewSectionReader(r, 8+int64(length), dataSize), func() error { return nil }}, nil
}

// Close closes the file.
func (f *File) Close() error { return f.close() }

// Tensors lists the file's tensors in the order of their data. The slice is
// the file's own.
func (f *File) Tensors() []Tensor { return f.tensors }

// Metadata are the texts that the writer put beside the tensors; nil if there
// are none. The map is the file's own.
func (f *File) Metadata() map[string]string { return f.metadata }

// Find returns the tensor of that name.
func (f *File) Find(name string) (Tensor, bool) {
	i, found := f.byName[name]
	if !found {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Float32 reads the values of a tensor of type F32.
func (f *File) Float32(name string) ([]float32, error) {
	t, err := f.typed(name, "F32")
	if err != nil {
		return nil, err
	}
	values := make([]float32, 0, t.Len())
	err = f.chunks(t, func(bytes []byte) {
		for ; len(bytes) >= 4; bytes = bytes[4:] {
			values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(bytes)))
		}
	})
	return values, err
}

// Float64 reads the values of a tensor of type F64.
func (f *File) Float64(name string) ([]float64, error) {
	t, err := f.typed(name, "F64")
	if err != nil {
		return nil, err
	}
	values := make([]float64, 0, t.Len())
	err = f.chunks(t, func(bytes []byte) {
		for ; len(bytes) >= 8; bytes = bytes[8:] {
			values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(bytes)))
		}
	})
	return values, err
}

// Int64 reads the values of a tensor of type I64.
func (f *File) Int64(name string) ([]int64, error) {
	t, err := f.typed(name, "I64")
	if err != nil {
		return nil, err
	}
	values := make([]int64, 0, t.Len())
	err = f.chunks(t, func(bytes []byte) {
		for ; len(bytes) >= 8; bytes = bytes[8:] {
			values = append(values, int64(binary.LittleEndian.Uint64(bytes)))
		}
	})
	return values, err
}

// ErrMissing is what a file answers when asked for a tensor it does not hold.
var ErrMissing = errors.New("no such tensor")

// typed finds a tensor and insists on its type.
func (f *File) typed(name, want string) (Tensor, error) {
	t, found := f.Find(name)
	if !found {
		return t, fmt.Errorf("read tensor %q: %w", name, ErrMissing)
	}
	if t.Type != want {
		return t, fmt.Errorf("read tensor %q: it is %s; expected %s", name, t.Type, want)
	}
	return t, nil
}

// chunk is how much of a tensor is in memory as bytes at one time. It holds
// whole elements of every type.
const chunk = 64 << 10

// chunks yields the bytes of a tensor piece by piece.
func (f *File) chunks(t Tensor, yield func(bytes []byte)) error {
	buffer := make([]byte, min(chunk, t.to-t.from))
	for at := t.from; at < t.to; {
		piece := buffer[:min(int64(len(buffer)), t.to-at)]
		if _, err := f.data.ReadAt(piece, at); err != nil {
			return fmt.Errorf("read tensor %q at byte %d of the data: %w", t.Name, at, err)
		}
		yield(piece)
		at += int64(len(piece))
	}
	return nil
}
