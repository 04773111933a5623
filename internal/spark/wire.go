package spark

import (
	"encoding/binary"
	"errors"
	"math"
)

// What is needed of protobuf's wire format
// (https://protobuf.dev/programming-guides/encoding): numbers and
// length-delimited fields to write, all to read past.

type wireType byte

const (
	wireVarint  wireType = 0
	wireFixed64 wireType = 1
	wireBytes   wireType = 2
	wireFixed32 wireType = 5
)

// A message is written field by field; empty values are left out, as proto3 has
// it.
type message []byte

func (m message) tag(field int, t wireType) message {
	return binary.AppendUvarint(m, uint64(field)<<3|uint64(t))
}

func (m message) number(field int, v uint64) message {
	if v == 0 {
		return m
	}
	return binary.AppendUvarint(m.tag(field, wireVarint), v)
}

func (m message) text(field int, s string) message {
	if s == "" {
		return m
	}
	return m.always(field, s)
}

// always writes a string even if it is empty: that it is there says something.
func (m message) always(field int, s string) message {
	m = binary.AppendUvarint(m.tag(field, wireBytes), uint64(len(s)))
	return append(m, s...)
}

func (m message) bytes(field int, b []byte) message {
	m = binary.AppendUvarint(m.tag(field, wireBytes), uint64(len(b)))
	return append(m, b...)
}

// around writes the beginning of messages that lie in each other, the innermost
// of which ends with a string of so many bytes, written by somebody else.
func around(size int, fields ...int) message {
	var head message
	for i := len(fields) - 1; i >= 0; i-- {
		outer := binary.AppendUvarint(message(nil).tag(fields[i], wireBytes), uint64(len(head)+size))
		head = append(outer, head...)
	}
	return head
}

var errWire = errors.New("damaged protobuf message")

// A field of a message that was read. Which of the values counts says its type.
type field struct {
	number int
	value  uint64
	bytes  []byte
}

func (f field) text() string { return string(f.bytes) }

// flag is a bool's value.
func (f field) flag() bool { return f.value != 0 }

// fields calls for each field of a message, until it returns an error.
func fields(m []byte, yield func(field) error) error {
	for len(m) > 0 {
		key, n := binary.Uvarint(m)
		if n <= 0 || key>>3 == 0 || key>>3 > math.MaxInt32 {
			return errWire
		}
		m = m[n:]
		f := field{number: int(key >> 3)}
		switch wireType(key & 7) {
		case wireVarint:
			if f.value, n = binary.Uvarint(m); n <= 0 {
				return errWire
			}
		case wireFixed64:
			n = 8
		case wireFixed32:
			n = 4
		case wireBytes:
			size, head := binary.Uvarint(m)
			if head <= 0 || size > uint64(len(m)-head) {
				return errWire
			}
			n = head + int(size)
			f.bytes = m[head:n]
		default:
			return errWire
		}
		if n > len(m) {
			return errWire
		}
		m = m[n:]
		if err := yield(f); err != nil {
			return err
		}
	}
	return nil
}
