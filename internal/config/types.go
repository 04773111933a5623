package config

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Duration is a time.Duration that is written the way people write it:
// "60s", "5m", "36h".
type Duration time.Duration

// String writes seconds below two minutes, else the largest unit that leaves
// nothing over.
func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t%time.Second != 0:
		return t.String()
	case t.Abs() < 2*time.Minute || t%time.Minute != 0:
		return strconv.FormatInt(int64(t/time.Second), 10) + "s"
	case t%time.Hour != 0:
		return strconv.FormatInt(int64(t/time.Minute), 10) + "m"
	default:
		return strconv.FormatInt(int64(t/time.Hour), 10) + "h"
	}
}

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("a duration with its unit, such as 60s, 5m or 1h30m")
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Bytes is an amount of memory or disk: "64MiB", "500kB", "1048576".
type Bytes int64

// byteUnits ascend; the binary ones are what String writes.
var byteUnits = []struct {
	name string
	size int64
}{
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
}

// String writes the largest binary unit that leaves nothing over.
func (b Bytes) String() string {
	for i := len(byteUnits) - 1; i >= 3; i-- {
		if u := byteUnits[i]; b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// UnmarshalText reads a number, maybe with a fraction, and maybe a unit: B, kB,
// MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024).
func (b *Bytes) UnmarshalText(text []byte) error {
	number := strings.TrimSpace(string(text))
	size := int64(1)
	for _, u := range byteUnits {
		if n, found := cutSuffixFold(number, u.name); found {
			number, size = n, u.size
			break
		}
	}
	if size == 1 {
		number, _ = cutSuffixFold(number, "B")
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	total := n * float64(size)
	if err != nil || math.IsNaN(total) || math.Abs(total) >= 1<<53 || total != math.Trunc(total) {
		return fmt.Errorf("a number of bytes, such as 64MiB, 500kB or 1048576")
	}
	*b = Bytes(total)
	return nil
}

// MarshalText writes String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

func cutSuffixFold(s, suffix string) (string, bool) {
	cut := len(s) - len(suffix)
	if cut < 0 || !strings.EqualFold(s[cut:], suffix) {
		return s, false
	}
	return s[:cut], true
}

// A Secret is text that never shows itself: printed, logged or written out it
// is "(secret)". Every setting of this type has a twin whose name ends in
// _file and that holds the path of a file with the text.
type Secret string

const hidden = "(secret)"

// String hides the text.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the text from %#v too.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the text from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the text from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Reveal gives the text to the one who needs it.
func (s Secret) Reveal() string { return string(s) }
