package codec

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"fettle"
)

// AppendJSON appends the reading to dst as the flat message: machine, the time
// unless it is zero, its values and its tags. [Decode] reads the same reading
// from it.
func AppendJSON(dst []byte, r fettle.Reading) []byte {
	dst = appendText(append(dst, `{"machine":`...), r.Machine)
	if !r.Time.IsZero() {
		dst = append(dst, `,"timestamp":"`...)
		dst = r.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	for _, v := range r.Values {
		dst = appendText(append(dst, ','), v.Sensor)
		dst = appendNumber(append(dst, ':'), v.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
		dst = appendText(append(dst, ','), name)
		dst = appendText(append(dst, ':'), r.Tags[name])
	}
	return append(dst, '}')
}

// appendText quotes text for JSON.
func appendText(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := json.Marshal(text)
			if err != nil {
				panic("BUG: a string that JSON cannot hold: " + err.Error())
			}
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}

// appendNumber writes the shortest digits that read back as the same number,
// with an exponent only where they would be many.
func appendNumber(dst []byte, x float64) []byte {
	format := byte('f')
	if abs := math.Abs(x); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, x, format, -1, 64)
}
