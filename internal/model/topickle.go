package model

import (
	"bytes"
	"encoding/binary"
	"math"
)

// SklearnVersion is the scikit-learn whose pickles are written unless another
// one is asked for: the one of the old system. Others read them as well, and
// warn that the version differs.
const SklearnVersion = "1.3.1"

// Pickle writes the scaler as a fitted MinMaxScaler of scikit-learn, pickle
// protocol 4. Its transform is value*scale_ + min_, so any scaler can be
// written as one, a robust one too: the numbers are the same to the last bit.
// sklearn "" is SklearnVersion; the version that reads it does not warn.
func (s *Scaler) Pickle(sklearn string) []byte {
	if sklearn == "" {
		sklearn = SklearnVersion
	}
	p := pickleWriter{}
	p.op("\x80\x04") // PROTO 4
	p.global("sklearn.preprocessing._data", "MinMaxScaler")
	p.op(")\x81}(") // EMPTY_TUPLE NEWOBJ EMPTY_DICT MARK
	p.text("feature_range")
	p.op("K\x00K\x01\x86") // (0, 1)
	p.text("copy")
	p.op("\x88") // True
	p.text("clip")
	p.op("\x89") // False
	if len(s.FeatureNames) > 0 {
		p.text("feature_names_in_")
		p.texts(s.FeatureNames)
	}
	p.text("n_features_in_")
	p.number(s.Width())
	p.text("n_samples_seen_")
	p.number(0) // nobody knows; only a further partial_fit would ask
	span := make([]float64, s.Width())
	for i := range span {
		span[i] = s.DataMax[i] - s.DataMin[i]
	}
	for _, list := range []struct {
		name   string
		values []float64
	}{{"scale_", s.Scale}, {"min_", s.Min}, {"data_min_", s.DataMin}, {"data_max_", s.DataMax}, {"data_range_", span}} {
		p.text(list.name)
		p.floats(list.values)
	}
	p.text("_sklearn_version")
	p.text(sklearn)
	p.op("ub.") // SETITEMS BUILD STOP
	return p.Bytes()
}

// A pickleWriter appends opcodes, as opcodes.go lists them. Nothing is put into
// a memo: the file is some bytes longer, and simpler.
type pickleWriter struct{ bytes.Buffer }

func (p *pickleWriter) op(code string) { p.WriteString(code) }

func (p *pickleWriter) text(s string) {
	p.WriteByte('X')
	_ = binary.Write(p, binary.LittleEndian, uint32(len(s))) // a buffer takes all
	p.WriteString(s)
}

func (p *pickleWriter) number(n int) {
	p.WriteByte('J')
	_ = binary.Write(p, binary.LittleEndian, int32(n))
}

func (p *pickleWriter) global(module, name string) {
	p.text(module)
	p.text(name)
	p.op("\x93")
}

// array writes what numpy's own pickles hold: _reconstruct(ndarray, (0,), b"b")
// with the state (1, (n,), dtype, False, content).
func (p *pickleWriter) array(n int, kind string, dtypeState, content func()) {
	p.global("numpy.core.multiarray", "_reconstruct") // numpy 2 knows the name of numpy 1, not the other way round
	p.global("numpy", "ndarray")
	p.op("K\x00\x85C\x01b\x87R(K\x01") // (0,) b"b" TUPLE3 REDUCE MARK 1
	p.number(n)
	p.op("\x85")
	p.global("numpy", "dtype")
	p.text(kind)
	p.op("\x89\x88\x87R(K\x03") // False True TUPLE3 REDUCE MARK 3
	dtypeState()
	p.op("tb\x89") // TUPLE BUILD False
	content()
	p.op("tb")
}

const unsized = "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff" // None None None -1 -1

func (p *pickleWriter) floats(values []float64) {
	p.array(len(values), "f8", func() { p.text("<"); p.op(unsized + "K\x00") }, func() {
		p.WriteByte('B')
		_ = binary.Write(p, binary.LittleEndian, uint32(8*len(values)))
		for _, v := range values {
			_ = binary.Write(p, binary.LittleEndian, math.Float64bits(v))
		}
	})
}

func (p *pickleWriter) texts(values []string) {
	p.array(len(values), "O8", func() { p.text("|"); p.op(unsized + "K\x3f") }, func() {
		p.op("](") // EMPTY_LIST MARK
		for _, v := range values {
			p.text(v)
		}
		p.op("e") // APPENDS
	})
}
