package db

import (
	"bytes"
	"cmp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// key is a key of a string, a time and a number.
func key(s string, t time.Time, n uint64) []byte {
	return AppendUint64(AppendMicros(AppendString(nil, s), t), n)
}

// anyString has many zeros and common beginnings, where orders go wrong.
var anyString = rapid.StringOf(rapid.SampledFrom([]rune{0, 1, 'a', 'b', 0xFF, '世'}))

func anyTime(t *rapid.T) time.Time {
	return time.UnixMicro(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "micros")).UTC()
}

func TestKeysKeepOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s1, s2 := anyString.Draw(t, "s1"), anyString.Draw(t, "s2")
		t1, t2 := anyTime(t), anyTime(t)
		n1, n2 := rapid.Uint64().Draw(t, "n1"), rapid.Uint64().Draw(t, "n2")
		want := cmp.Or(strings.Compare(s1, s2), t1.Compare(t2), cmp.Compare(n1, n2))
		if got := bytes.Compare(key(s1, t1, n1), key(s2, t2, n2)); got != want {
			t.Errorf("keys compare as %d, their parts as %d", got, want)
		}
	})
}

func TestKeysReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, at, n := rapid.String().Draw(t, "s"), anyTime(t), rapid.Uint64().Draw(t, "n")
		gotS, rest, ok1 := CutString(key(s, at, n))
		gotT, rest, ok2 := CutMicros(rest)
		gotN, rest, ok3 := CutUint64(rest)
		if gotS != s || !gotT.Equal(at) || gotN != n || len(rest) != 0 || !ok1 || !ok2 || !ok3 {
			t.Errorf("read back %q %v %d (rest %x), expected %q %v %d", gotS, gotT, gotN, rest, s, at, n)
		}
	})
}

func TestAfter(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{"r/", "r0"},
		{"a\xff", "b"},
		{"a\xff\xff", "b"},
		{"\xff\xff", ""},
		{"", ""},
	} {
		if got := After([]byte(c.prefix)); string(got) != c.want {
			t.Errorf("After(%q) is %q, expected %q", c.prefix, got, c.want)
		}
	}
}

func FuzzCutString(f *testing.F) {
	for _, seed := range []string{"", "\x00", "a", "a\x00\x01", "a\x00\xff\x00\x01rest", "a\x00\x02"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		s, rest, ok := CutString(key)
		if !ok {
			return
		}
		if again := append(AppendString(nil, s), rest...); !bytes.Equal(again, key) {
			t.Errorf("%x reads as %q and %x, which is written %x", key, s, rest, again)
		}
	})
}
