package db

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Keys are bytes in order, so the parts of a key are written such that byte
// order is the order of what they stand for, and such that no part runs into
// the next. Each Append returns the longer key; each Cut takes its part off
// the front and returns the rest.

// A string in a key: 0x00 inside it is written 00 FF, and 00 01 ends it.
const (
	escape     = 0x00
	escapedNul = 0xFF
	terminator = 0x01
)

// AppendString appends a string of any bytes.
//
//	"ab"     61 62 00 01
//	"a\x00"  61 00 FF 00 01
func AppendString(key []byte, s string) []byte {
	for i := range len(s) {
		key = append(key, s[i])
		if s[i] == escape {
			key = append(key, escapedNul)
		}
	}
	return append(key, escape, terminator)
}

// CutString takes a string off the front of a key; false if there is none.
func CutString(key []byte) (s string, rest []byte, ok bool) {
	var text []byte
	for {
		i := bytes.IndexByte(key, escape)
		if i < 0 || i+1 == len(key) {
			return "", nil, false
		}
		text = append(text, key[:i]...)
		switch key[i+1] {
		case terminator:
			return string(text), key[i+2:], true
		case escapedNul:
			text = append(text, escape)
		default:
			return "", nil, false
		}
		key = key[i+2:]
	}
}

// AppendUint64 appends a number, big-endian.
func AppendUint64(key []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(key, v) }

// CutUint64 takes a number off the front of a key; false if it is too short.
func CutUint64(key []byte) (v uint64, rest []byte, ok bool) {
	if len(key) < 8 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(key), key[8:], true
}

// signBit turned over puts times before 1970 below those after.
const signBit = 1 << 63

// AppendMicros appends a time as whole microseconds since 1970 UTC, 8 bytes.
func AppendMicros(key []byte, t time.Time) []byte {
	return AppendUint64(key, uint64(t.UnixMicro())^signBit)
}

// CutMicros takes a time, in UTC, off the front of a key; false if the key is
// too short.
func CutMicros(key []byte) (t time.Time, rest []byte, ok bool) {
	v, rest, ok := CutUint64(key)
	if !ok {
		return time.Time{}, nil, false
	}
	return time.UnixMicro(int64(v ^ signBit)).UTC(), rest, true
}

// After returns the smallest key that follows every key with the prefix, the
// end of a stretch that holds them all; nil, no end, if there is none.
func After(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xFF {
			after := bytes.Clone(prefix[:i+1])
			after[i]++
			return after
		}
	}
	return nil
}
