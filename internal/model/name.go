package model

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fettle"
)

// The parts of a version's name: model_<machine>_<YYYYMMDD_HHMMSS>.
const (
	namePrefix  = "model_"
	stampLayout = "20060102_150405"
	maxFileName = 240 // bytes; file systems take 255, and the dot name is longer
)

// versionName makes the name of a machine's version.
func versionName(machine string, stamp time.Time) (string, error) {
	if machine == "" || len(machine) > fettle.MaxName || !utf8.ValidString(machine) {
		return "", fettle.BadField("bad machine name", "machine", machine, "1 to 128 bytes of UTF-8")
	}
	if year := stamp.UTC().Year(); year < 0 || year > 9999 {
		return "", fettle.Errorf(fettle.Conflict, "a version made now would bear the year %d, and names have four digits for it: delete the newest version of %s, whose stamp is at the end of time", year, machine)
	}
	name := namePrefix + escape(machine) + "_" + stamp.UTC().Format(stampLayout)
	if len(name) > maxFileName {
		return "", fettle.BadField("bad machine name", "machine", machine, "a name whose folder name fits into 240 bytes; signs other than letters, digits, - _ . take three each")
	}
	return name, nil
}

// parseName takes a version's name apart. The stamp is its last two fields, so
// a machine's name may hold underscores.
func parseName(name string) (machine string, stamp time.Time, ok bool) {
	rest, ok := strings.CutPrefix(name, namePrefix)
	cut := len(rest) - len(stampLayout) - 1
	if !ok || cut < 1 || rest[cut] != '_' {
		return "", time.Time{}, false
	}
	stamp, err := time.Parse(stampLayout, rest[cut+1:])
	if err != nil {
		return "", time.Time{}, false
	}
	machine = unescape(rest[:cut])
	return machine, stamp, len(machine) <= fettle.MaxName && utf8.ValidString(machine)
}

// scalerBeside is the name that the old system gave a version's scaler.
func scalerBeside(name string) string {
	return "scaler_" + strings.TrimPrefix(name, namePrefix) + ".pkl"
}

// escape writes what file systems could misunderstand as %XX, byte by byte.
// Old names, made of letters, digits, - and _, stay as they are.
func escape(machine string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i, r := range machine {
		size := utf8.RuneLen(r)
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("-_.", r) {
			b.WriteString(machine[i : i+size])
			continue
		}
		for _, c := range []byte(machine[i : i+size]) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// unescape is the inverse. A % that starts no escape stands for itself: old
// folders were not escaped.
func unescape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '%' && i+2 < len(name) {
			if high, low := fromHex(name[i+1]), fromHex(name[i+2]); high >= 0 && low >= 0 {
				b.WriteByte(byte(high<<4 | low))
				i += 2
				continue
			}
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

func fromHex(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }
