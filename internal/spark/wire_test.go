package spark

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestWire: what is written is read back, and strings that are written apart lie
// where they would.
func TestWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.IntRange(1, 2000)
		n, text, blob := rapid.Uint64().Draw(t, "n"), rapid.String().Draw(t, "text"), rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		a, b, c := number.Draw(t, "a"), number.Draw(t, "b"), number.Draw(t, "c")
		m := message(nil).number(a, n).always(b, text).bytes(c, blob)
		want := []string{fmt.Sprint(a, n, ""), fmt.Sprint(b, 0, text), fmt.Sprint(c, 0, string(blob))}
		if n == 0 {
			want = want[1:]
		}
		var got []string
		if err := fields(m, func(f field) error {
			got = append(got, fmt.Sprint(f.number, f.value, f.text()))
			return nil
		}); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q, %v; expected %q", got, err, want)
		}
		nested := message(nil).bytes(a, message(nil).bytes(b, message(nil).always(c, text)))
		if apart := append(around(len(text), a, b, c), text...); !bytes.Equal(apart, nested) {
			t.Fatalf("%x; expected %x", apart, nested)
		}
	})
}

// FuzzFields feeds the reader of messages with anything: it never reads beyond
// them, and what it has read can be written again.
func FuzzFields(f *testing.F) {
	f.Add([]byte(message(nil).text(1, "session").number(2, 7).bytes(15, message(nil).text(13, "x"))))
	f.Add([]byte{0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4}) // a fixed64 and a fixed32
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{0x0b})
	f.Fuzz(func(t *testing.T, m []byte) {
		size := 0
		err := fields(m, func(f field) error {
			if f.number < 1 {
				t.Errorf("field %d", f.number)
			}
			size += len(f.bytes)
			return nil
		})
		if size > len(m) {
			t.Errorf("%d bytes out of %d (%v)", size, len(m), err)
		}
	})
}
