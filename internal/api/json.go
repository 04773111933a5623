package api

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// marshal is JSON as the old system wrote it: in one line, signs of HTML and
// other scripts as they are, no line break at the end.
func marshal(body any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(body); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// floats are numbers for JSON, which has no NaN and no infinity: null instead.
type floats []float64

// MarshalJSON writes the numbers in the shortest form that reads back the same.
// Whole ones get a ".0", as the old system wrote them: clients that take types
// from what they see would otherwise see an integer now and then.
func (f floats) MarshalJSON() ([]byte, error) {
	text := []byte{'['}
	for i, v := range f {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendNumber(text, v)
	}
	return append(text, ']'), nil
}

func appendNumber(text []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(text, "null"...)
	}
	format := byte('f')
	if size := math.Abs(v); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	begin := len(text)
	text = strconv.AppendFloat(text, v, format, -1, 64)
	if !bytes.ContainsAny(text[begin:], ".e") {
		text = append(text, ".0"...)
	}
	return text
}

// Schema tells huma what floats look like.
func (floats) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeNumber, Nullable: true}}
}

// bySensor is a JSON object with one member for each sensor. Unlike a map it
// keeps the sensors in order, as the old system's answers did.
type bySensor[T any] []sensorEntry[T]

type sensorEntry[T any] struct {
	Sensor string
	Value  T
}

// MarshalJSON writes the object.
func (m bySensor[T]) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, entry := range m {
		if i > 0 {
			text = append(text, ',')
		}
		name, err := marshal(entry.Sensor)
		if err != nil {
			return nil, err
		}
		value, err := marshal(entry.Value)
		if err != nil {
			return nil, err
		}
		text = append(append(append(text, name...), ':'), value...)
	}
	return append(text, '}'), nil
}

// Schema tells huma that it is a map.
func (bySensor[T]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[map[string]T](), true, "")
}
