package model

import (
	"encoding/binary"
	"fmt"
)

// maxOpcodes bounds the memory that a pickle can ask for: names of 5,000
// channels take two opcodes each.
const maxOpcodes = 20_000

// operand says how many bytes follow an opcode, or how their number is written.
type operand int

const (
	length1 operand = -1 // one byte of length, then so many bytes
	length4 operand = -4 // four bytes of length, then so many bytes
)

// opcodes are those that Python's pickle, protocol 4, writes for a scaler.
var opcodes = map[byte]operand{
	0x80: 1, // PROTO
	0x95: 8, // FRAME
	0x94: 0, // MEMOIZE
	0x93: 0, // STACK_GLOBAL
	0x81: 0, // NEWOBJ
	'R':  0, // REDUCE
	'b':  0, // BUILD
	'.':  0, // STOP
	'(':  0, // MARK
	'h':  1, // BINGET
	'j':  4, // LONG_BINGET

	0x8c: length1, // SHORT_BINUNICODE
	'X':  length4, // BINUNICODE
	'C':  length1, // SHORT_BINBYTES
	'B':  length4, // BINBYTES
	0x8a: length1, // LONG1
	'K':  1,       // BININT1
	'M':  2,       // BININT2
	'J':  4,       // BININT
	'G':  8,       // BINFLOAT
	'N':  0,       // NONE
	0x88: 0,       // NEWTRUE
	0x89: 0,       // NEWFALSE

	')': 0, 0x85: 0, 0x86: 0, 0x87: 0, 't': 0, // tuples of 0, 1, 2, 3, any
	'}': 0, 's': 0, 'u': 0, // dict, SETITEM, SETITEMS
	']': 0, 'a': 0, 'e': 0, // list, APPEND, APPENDS
}

// checkPickle walks over a pickle's opcodes before the unpickler sees it. The
// unpickler would allocate whatever a length in the file asks for, knows three
// classes of its own, and offers more opcodes than a scaler needs. So this
// refuses lengths beyond the file, opcodes beyond the table, and every name
// that findClass does not know.
//
// It also takes the raw numbers of joblib's arrays out, which lie between the
// opcodes: what it returns are opcodes alone, all of them seen, and the numbers
// of each array in order.
func checkPickle(data []byte) (opcodes []byte, raw [][]byte, err error) {
	if len(data) < 2 || data[0] != 0x80 {
		return nil, nil, fmt.Errorf("this is no pickle that a scaler comes in: it starts with % x", data[:min(4, len(data))])
	}
	if data[1] != 4 {
		return nil, nil, fmt.Errorf("the pickle's protocol is %d; only 4 is read: save the scaler with pickle.dump(scaler, file, protocol=4)", data[1])
	}
	w := opcodeWalk{data: data}
	for range maxOpcodes {
		if stop, err := w.step(); stop || err != nil {
			return append(w.passed, data[w.from:w.at]...), w.raw, err
		}
	}
	return nil, nil, fmt.Errorf("the pickle has more than %d opcodes", maxOpcodes)
}

// An opcodeWalk is a place in a pickle, with the texts that a name could be
// made of.
type opcodeWalk struct {
	data         []byte
	at           int
	before, last string   // the two newest things on the stack, "" if no text
	memo         []string // what MEMOIZE kept, "" if no text

	// What joblib wrote last of an array: its length, the size of its numbers
	// (0: not said), and whether it has begun one whose numbers are to come.
	length, size int
	joblib       bool
	aligned      bool // bytes to align them come first

	from   int      // opcodes up to here are in passed
	passed []byte   // opcodes without raw numbers
	raw    [][]byte // the numbers of each array
}

// step passes one opcode.
func (w *opcodeWalk) step() (stop bool, err error) {
	start := w.at
	if start >= len(w.data) {
		return false, fmt.Errorf("the pickle is cut short: it has no end")
	}
	opcode := w.data[start]
	kind, known := opcodes[opcode]
	if !known {
		return false, fmt.Errorf("opcode 0x%02x at byte %d of the pickle has no place in a scaler", opcode, start)
	}
	w.at++
	argument, err := w.argument(kind)
	if err != nil {
		return false, fmt.Errorf("opcode 0x%02x at byte %d of the pickle: %w", opcode, start, err)
	}
	w.noteArray(opcode, argument)
	switch opcode {
	case '.':
		return true, nil
	case 0x80: // PROTO
	case 0x95: // FRAME: so many bytes follow, as opcodes of their own
		if size := binary.LittleEndian.Uint64(argument); size > uint64(len(w.data)-w.at) {
			return false, fmt.Errorf("the pickle is cut short: %d bytes should follow byte %d, %d do", size, w.at, len(w.data)-w.at)
		}
	case 0x94: // MEMOIZE
		w.memo = append(w.memo, w.last)
	case 0x8c, 'X': // texts
		w.push(string(argument))
	case 'h', 'j': // BINGET
		var padded [4]byte
		copy(padded[:], argument)
		i := binary.LittleEndian.Uint32(padded[:])
		if uint64(i) >= uint64(len(w.memo)) {
			return false, fmt.Errorf("opcode 0x%02x at byte %d of the pickle: nothing was kept as %d", opcode, start, i)
		}
		w.push(w.memo[i])
	case 0x93: // STACK_GLOBAL: the class or function of that name
		if _, err := findClass(nil)(w.before, w.last); err != nil {
			return false, err
		}
		w.joblib = w.joblib || w.last == joblibArray
		w.before, w.last = "", ""
	case 'b': // BUILD
		w.before, w.last = "", ""
		return false, w.takeRaw(start)
	default:
		w.before, w.last = "", ""
	}
	return false, nil
}

// joblibArray is the class that stands in joblib's files for an array.
const joblibArray = "NumpyArrayWrapper"

// noteArray remembers what the state of joblib's arrays says of them: in it the
// length, as (n,), follows the word shape, and the dtype is f8 or f4.
func (w *opcodeWalk) noteArray(opcode byte, argument []byte) {
	switch opcode {
	case 'K':
		switch w.last {
		case "shape":
			w.length = int(argument[0])
		case "numpy_array_alignment_bytes": // None, or not there, before joblib 1.1
			w.aligned = true
		}
	case 'M':
		if w.last == "shape" {
			w.length = int(binary.LittleEndian.Uint16(argument))
		}
	case 0x8c, 'X':
		switch string(argument) {
		case "f8":
			w.size = 8
		case "f4":
			w.size = 4
		}
	}
}

// takeRaw takes the numbers out that joblib writes behind the state of an
// array: one byte that says how many follow to align them, those, and then they.
// start is where BUILD stands; that of a dtype inside the state has none.
func (w *opcodeWalk) takeRaw(start int) error {
	if !w.joblib || w.length == 0 || start == 0 || w.data[start-1] != 'u' {
		return nil
	}
	w.passed = append(w.passed, w.data[w.from:w.at]...)
	if w.aligned {
		padding, err := w.take(1)
		if err == nil {
			_, err = w.take(int64(padding[0]))
		}
		if err != nil {
			return err
		}
	}
	numbers, err := w.take(int64(w.length * w.size))
	w.raw, w.from, w.length, w.aligned = append(w.raw, numbers), w.at, 0, false
	return err
}

func (w *opcodeWalk) push(text string) { w.before, w.last = w.last, text }

// argument passes an opcode's operand and returns it, without its length.
func (w *opcodeWalk) argument(kind operand) ([]byte, error) {
	n := int64(kind)
	if kind < 0 {
		prefix, err := w.take(-n)
		if err != nil {
			return nil, err
		}
		var padded [8]byte
		copy(padded[:], prefix)
		n = int64(binary.LittleEndian.Uint64(padded[:]))
	}
	return w.take(n)
}

func (w *opcodeWalk) take(n int64) ([]byte, error) {
	if rest := len(w.data) - w.at; n > int64(rest) {
		return nil, fmt.Errorf("the pickle is cut short: %d bytes should follow, %d do", n, rest)
	}
	taken := w.data[w.at : w.at+int(n)]
	w.at += int(n)
	return taken, nil
}
