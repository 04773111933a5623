package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"
)

// A pickle is a program for a small stack machine that may call any Python
// function by name. Here the names are these and no others; what they call is
// the Go below, which only keeps what it is given.
//
// joblib's arrays take their numbers from raw, one after the other.
func findClass(raw *[][]byte) func(module, name string) (any, error) {
	return func(module, name string) (any, error) {
		if module+"."+name == "joblib.numpy_pickle."+joblibArray {
			return joblibClass{raw}, nil
		}
		return findPlainClass(module, name)
	}
}

func findPlainClass(module, name string) (any, error) {
	switch module + "." + name {
	case "sklearn.preprocessing._data.MinMaxScaler":
		return scalerClass{}, nil
	case "numpy.ndarray":
		return arrayClass{}, nil
	case "numpy.dtype":
		return dtypeClass{}, nil
	case "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct": // numpy 1 and 2
		return reconstruct{}, nil
	default:
		return nil, fmt.Errorf("the pickle names %s.%s; only scikit-learn's MinMaxScaler with its numpy arrays is read", module, name)
	}
}

// unpickle fills the scaler from a MinMaxScaler's pickle.
func (s *Scaler) unpickle(data []byte) (err error) {
	opcodes, raw, err := checkPickle(data)
	if err != nil {
		return err
	}
	// The library panics on some wrong orders of opcodes.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the pickle is damaged: %v", p)
		}
	}()
	machine := pickle.NewUnpickler(bytes.NewReader(opcodes))
	machine.FindClass = findClass(&raw)
	value, err := machine.Load()
	if err != nil {
		return fmt.Errorf("the pickle is damaged: %w", err)
	}
	object, ok := value.(*scalerObject)
	if !ok {
		return fmt.Errorf("the pickle holds no MinMaxScaler")
	}
	return s.fromAttributes(object.attributes)
}

// fromAttributes takes what the computation needs of a MinMaxScaler.
func (s *Scaler) fromAttributes(attributes map[string]any) error {
	if clip, _ := attributes["clip"].(bool); clip {
		return fmt.Errorf("the scaler's clip is true; only false is supported")
	}
	for name, to := range map[string]*[]float64{"data_min_": &s.DataMin, "data_max_": &s.DataMax, "scale_": &s.Scale, "min_": &s.Min} {
		array, ok := attributes[name].(*arrayObject)
		if !ok || array.numbers == nil {
			return fmt.Errorf("the scaler has no %s, or it is no array of numbers: has it been fitted?", name)
		}
		*to = array.numbers
	}
	if names, there := attributes["feature_names_in_"]; there {
		array, ok := names.(*arrayObject)
		if !ok || array.texts == nil {
			return fmt.Errorf("the scaler's feature_names_in_ is no array of texts")
		}
		s.FeatureNames = array.texts
	}
	return nil
}

// scalerClass is sklearn.preprocessing._data.MinMaxScaler.
type scalerClass struct{}

func (scalerClass) PyNew(...any) (any, error) { return &scalerObject{}, nil }

type scalerObject struct{ attributes map[string]any }

func (o *scalerObject) PySetState(state any) error {
	dict, ok := state.(*types.Dict)
	if !ok {
		return fmt.Errorf("the state of MinMaxScaler is %T; expected a dict", state)
	}
	o.attributes = make(map[string]any, dict.Len())
	for _, entry := range *dict {
		if name, ok := entry.Key.(string); ok {
			o.attributes[name] = entry.Value
		}
	}
	return nil
}

// dtypeClass is numpy.dtype.
type dtypeClass struct{}

func (dtypeClass) Call(args ...any) (any, error) {
	if len(args) > 0 {
		switch args[0] {
		case "f8", "f4", "O8":
			return &dtypeObject{kind: args[0].(string)}, nil
		}
	}
	return nil, fmt.Errorf("numpy.dtype%v is not read; expected f8, f4 or O8", args)
}

type dtypeObject struct{ kind, order string }

func (d *dtypeObject) PySetState(state any) error {
	tuple, ok := state.(*types.Tuple)
	if !ok || tuple.Len() < 2 {
		return fmt.Errorf("the state of numpy.dtype is %T; expected a tuple", state)
	}
	d.order, _ = tuple.Get(1).(string)
	return nil
}

// arrayClass is numpy.ndarray, which is only ever an argument of reconstruct.
type arrayClass struct{}

// reconstruct is numpy's _reconstruct: an array without its content.
type reconstruct struct{}

func (reconstruct) Call(args ...any) (any, error) {
	if len(args) == 0 || args[0] != (arrayClass{}) {
		return nil, fmt.Errorf("numpy's _reconstruct makes something else than an ndarray")
	}
	return &arrayObject{}, nil
}

// joblibClass is joblib's NumpyArrayWrapper: an array whose numbers lie outside
// of the pickle, in raw.
type joblibClass struct{ raw *[][]byte }

func (c joblibClass) PyNew(...any) (any, error) { return &arrayObject{raw: c.raw}, nil }

// setWrapped takes joblib's state of an array, and its numbers.
func (a *arrayObject) setWrapped(state *types.Dict) error {
	value := func(key string) any { v, _ := state.Get(key); return v }
	shape, ok := value("shape").(*types.Tuple)
	dtype, typed := value("dtype").(*dtypeObject)
	if !ok || !typed || shape.Len() != 1 || value("order") != "C" || value("subclass") != (arrayClass{}) {
		return fmt.Errorf("joblib's array is none of numbers with the shape (channels)")
	}
	n, ok := shape.Get(0).(int)
	if !ok || len(*a.raw) == 0 {
		return fmt.Errorf("joblib's array has no length or no numbers")
	}
	content := (*a.raw)[0]
	*a.raw = (*a.raw)[1:]
	return a.setNumbers(n, dtype, content)
}

// arrayObject is a numpy array of one dimension, of numbers or of texts.
type arrayObject struct {
	numbers []float64
	texts   []string
	raw     *[][]byte // where joblib's numbers come from; nil for others
}

// PySetState takes (version, shape, dtype, fortran order, content).
func (a *arrayObject) PySetState(state any) error {
	if dict, ok := state.(*types.Dict); ok && a.raw != nil {
		return a.setWrapped(dict)
	}
	tuple, ok := state.(*types.Tuple)
	if !ok || tuple.Len() != 5 {
		return fmt.Errorf("the state of numpy.ndarray is %T; expected a tuple of five", state)
	}
	shape, ok := tuple.Get(1).(*types.Tuple)
	if !ok || shape.Len() != 1 {
		return fmt.Errorf("a numpy.ndarray has another shape than (channels)")
	}
	n, ok := shape.Get(0).(int)
	dtype, typed := tuple.Get(2).(*dtypeObject)
	if !ok || !typed {
		return fmt.Errorf("a numpy.ndarray has no length or no dtype")
	}
	switch content := tuple.Get(4).(type) {
	case []byte:
		return a.setNumbers(n, dtype, content)
	case *types.List:
		return a.setTexts(n, dtype, content)
	default:
		return fmt.Errorf("the content of a numpy.ndarray is %T; expected bytes or a list", content)
	}
}

func (a *arrayObject) setNumbers(n int, dtype *dtypeObject, content []byte) error {
	size := map[string]int{"f8": 8, "f4": 4}[dtype.kind]
	if size == 0 || dtype.order != "<" {
		return fmt.Errorf("a numpy.ndarray of %q in byte order %q is not read; expected f8 or f4, little endian", dtype.kind, dtype.order)
	}
	if n < 0 || n > len(content) || n*size != len(content) {
		return fmt.Errorf("a numpy.ndarray of %d numbers has %d bytes; expected %d each", n, len(content), size)
	}
	a.numbers = make([]float64, n)
	for i := range a.numbers {
		if size == 4 {
			a.numbers[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(content[4*i:])))
		} else {
			a.numbers[i] = math.Float64frombits(binary.LittleEndian.Uint64(content[8*i:]))
		}
	}
	return nil
}

func (a *arrayObject) setTexts(n int, dtype *dtypeObject, content *types.List) error {
	if dtype.kind != "O8" || n != content.Len() {
		return fmt.Errorf("a numpy.ndarray of %d %q holds a list of %d", n, dtype.kind, content.Len())
	}
	a.texts = make([]string, n)
	for i := range a.texts {
		text, ok := content.Get(i).(string)
		if !ok {
			return fmt.Errorf("a numpy.ndarray of objects holds a %T; expected texts", content.Get(i))
		}
		a.texts[i] = text
	}
	return nil
}
