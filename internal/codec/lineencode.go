package codec

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"fettle"
)

// AppendLine appends the reading to dst as a line of the old system's shape,
// with a newline and its time in microseconds: measurement sensor_data, tag
// workspace_id and the reading's own, every value a float. A reading without
// values is no line.
//
// Line protocol cannot hold everything: control characters in tags become
// spaces, a backslash at the end of a tag or a name is left out, and so is a tag
// of which nothing is left.
func AppendLine(dst []byte, r fettle.Reading) []byte {
	if len(r.Values) == 0 {
		return dst
	}
	dst = append(dst, OldMeasurement...)
	dst = AppendLineTag(dst, fieldWorkspace, r.Machine)
	for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
		dst = AppendLineTag(dst, name, r.Tags[name])
	}
	separator := byte(' ')
	for _, v := range r.Values {
		dst = AppendLineFloat(append(dst, separator), v.Sensor, v.Value)
		separator = ','
	}
	return AppendLineTime(dst, r.Time)
}

// AppendLineTag appends a tag, with the comma before it.
func AppendLineTag(dst []byte, name, text string) []byte {
	if name, text = lineText(name), lineText(text); name == "" || text == "" {
		return dst
	}
	dst = appendEscaped(append(dst, ','), name, inTag)
	return appendEscaped(append(dst, '='), text, inTag)
}

// AppendLineFloat appends a field that holds a number.
func AppendLineFloat(dst []byte, name string, value float64) []byte {
	dst = append(appendEscaped(dst, lineText(name), inFieldKey), '=')
	return strconv.AppendFloat(dst, value, 'g', -1, 64)
}

// AppendLineText appends a field that holds a text.
func AppendLineText(dst []byte, name, text string) []byte {
	dst = append(appendEscaped(dst, lineText(name), inFieldKey), '=', '"')
	return append(appendEscaped(dst, text, `"\`), '"')
}

// AppendLineTime ends a line with its time, in microseconds.
func AppendLineTime(dst []byte, t time.Time) []byte {
	return append(strconv.AppendInt(append(dst, ' '), t.UnixMicro(), 10), '\n')
}

func appendEscaped(dst []byte, text, specials string) []byte {
	for i := range len(text) {
		if strings.IndexByte(specials, text[i]) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return dst
}

// lineText is what line protocol can hold of a name or a tag.
func lineText(text string) string {
	if strings.ContainsFunc(text, unicode.IsControl) {
		text = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, text)
	}
	return strings.TrimRight(text, `\`)
}
