package model

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fettle/patchtst/safetensors"
)

// TestReadsPickles reads what scikit-learn's oldest and newest version in use
// wrote, on numpy 1 and 2.
func TestReadsPickles(t *testing.T) {
	for _, c := range []struct {
		file  string
		names []string
	}{
		{"minmax_1.3.1.pkl", nil},
		{"minmax_1.9.1.pkl", nil},
		{"joblib_1.9.1.pkl", nil},
		{"joblib_unaligned_1.9.1.pkl", nil},
		{"named_1.3.1.pkl", []string{"current", "accX", "tempA"}},
		{"named_1.9.1.pkl", []string{"current", "accX", "tempA"}},
	} {
		s, err := ReadScaler(filepath.Join("testdata", c.file))
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if fmt.Sprint(s.DataMin, s.DataMax) != "[10 -0.2 60] [17 0.2 61.75]" || !slices.Equal(s.FeatureNames, c.names) {
			t.Errorf("%s: %+v", c.file, s)
		}
		// What scikit-learn answers for the fourth row, to the last bit.
		for i, want := range []float64{0.4285714285714286, 0.25, 0.4285714285714306} {
			if got := s.Transform(i, []float64{13, 1.0/10 - 0.2, 60.75}[i]); got != want {
				t.Errorf("%s: channel %d is scaled to %v; want %v", c.file, i, got, want)
			}
		}
	}
}

// TestReadsFloat32Pickle reads a scaler that was fitted on float32 rows.
func TestReadsFloat32Pickle(t *testing.T) {
	s, err := ReadScaler("testdata/float32_1.9.1.pkl")
	if err != nil || s.Scale[0] != float64(float32(1.0/7)) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestReadsJSON(t *testing.T) {
	s, err := parseScaler([]byte(`{"data_min": [1, 2], "data_max": [3, 2], "scale": [0.5, 1], "min": [-0.5, -2], "feature_names": ["a", "b"], "newer": 1}`))
	if err != nil || s.Transform(0, 2) != 0.5 || s.Inverse(0, 0.5) != 2 || s.FeatureNames[1] != "b" {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestArithmetic compares with scikit-learn to the last bit, constant columns
// and NaN included.
func TestArithmetic(t *testing.T) {
	file, err := safetensors.Open("testdata/minmax.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read := func(name string) []float64 {
		values, err := file.Float64(name)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	s := Scaler{Scale: read("scale_"), Min: read("min_")}
	rows, scaled, back := read("X"), read("T"), read("inv")
	same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	for i, x := range rows {
		channel := i % s.Width()
		if got := s.Transform(channel, x); !same(got, scaled[i]) {
			t.Errorf("row %d, channel %d: %v is scaled to %v; want %v", i/s.Width(), channel, x, got, scaled[i])
		}
		if got := s.Inverse(channel, scaled[i]); !same(got, back[i]) {
			t.Errorf("row %d, channel %d: %v is unscaled to %v; want %v", i/s.Width(), channel, scaled[i], got, back[i])
		}
	}
}

func TestRefusesScalerFiles(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"standard_1.9.1.pkl", "names sklearn.preprocessing._data.StandardScaler; only scikit-learn's MinMaxScaler"},
		{"protocol5_1.9.1.pkl", "protocol is 5; only 4 is read: save the scaler with pickle.dump(scaler, file, protocol=4)"},
		{"clip_1.9.1.pkl", "clip is true; only false is supported"},
		{"unfitted_1.9.1.pkl", "has it been fitted?"},
		{"nowhere.pkl", "no such file"},
		{"minmax.safetensors", "this is no pickle"},
	} {
		if _, err := ReadScaler(filepath.Join("testdata", c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", c.file, err, c.want)
		}
	}
}

func TestRefusesScalers(t *testing.T) {
	const call = "\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x05touch\x85R."
	for _, c := range []struct{ what, data, want string }{
		{"a call", call, "names posix.system; only"},
		{"a call by kept names", "\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93.", "opcode 0x30 at byte 19"},
		{"a call by names from the memo", "\x80\x04\x8c\x05posix\x94\x8c\x06system\x94h\x00h\x01\x93.", "names posix.system; only"},
		{"a call by a hidden name", "\x80\x04]N\x93.", "names .; only"},
		{"a call of protocol 0", "\x80\x04cposix\nsystem\n.", "opcode 0x63 at byte 2 of the pickle has no place in a scaler"},
		{"a class of the library's own", "\x80\x04\x8c\x0bcollections\x8c\x0bOrderedDict\x93.", "names collections.OrderedDict; only"},
		{"an old protocol", "\x80\x02N.", "protocol is 2; only 4 is read"},
		{"no scaler", "\x80\x04N.", "the pickle holds no MinMaxScaler"},
		{"no end", "\x80\x04N", "it has no end"},
		{"a text of 4 GB", "\x80\x04X\xff\xff\xff\xffa.", "4294967295 bytes should follow, 2 do"},
		{"a frame of exabytes", "\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x70N.", "should follow byte 11, 2 do"},
		{"an unknown memo", "\x80\x04h\x07.", "nothing was kept as 7"},
		{"an empty stack", "\x80\x04R.", "the stack is empty"},
		{"a long of no bytes", "\x80\x04\x8a\x00.", "the pickle is damaged"},
		{"a dict of halves", "\x80\x04}(Nu.", "the pickle is damaged"},
		{"no end of opcodes", "\x80\x04" + strings.Repeat("N", maxOpcodes+1) + ".", "more than 20000 opcodes"},
		{"empty", "", "this is no pickle"},
		{"zero scale", `{"data_min":[1],"data_max":[1],"scale":[0],"min":[0]}`, "scale of channel 0 is 0"},
		{"widths that differ", `{"data_min":[1],"data_max":[1,2],"scale":[1],"min":[0]}`, "data_max has 2 channels; scale has 1"},
		{"names that are too few", `{"data_min":[1,1],"data_max":[1,2],"scale":[1,1],"min":[0,0],"feature_names":["a"]}`, "feature_names has 1 names; scale has 2"},
		{"no channel", `{}`, "scale has 0 channels"},
		{"not JSON", `{"scale":`, "unexpected end"},
	} {
		if _, err := parseScaler([]byte(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", c.what, err, c.want)
		}
	}
}

// TestRefusesDamagedPickles cuts a good pickle at every byte, and turns every
// byte of it into others: never a panic, and never a scaler out of a cut one.
func TestRefusesDamagedPickles(t *testing.T) {
	for _, file := range []string{"named_1.9.1.pkl", "joblib_1.9.1.pkl"} {
		damage(t, pickleFile(t, file))
	}
}

func damage(t *testing.T, good []byte) {
	t.Helper()
	for n := range good {
		if _, err := parseScaler(good[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes, it was read", n, len(good))
		}
	}
	for i := range good {
		for _, b := range []byte{0, 1, '(', '.', 0x81, 0x94, 0xff} {
			damaged := bytes.Clone(good)
			damaged[i] = b
			if s, err := parseScaler(damaged); err == nil && s.check() != nil {
				t.Errorf("byte %d as %#x: %v", i, b, s.check())
			}
		}
	}
}

// FuzzScaler feeds any bytes: they are refused, or every channel can be mapped.
func FuzzScaler(f *testing.F) {
	files, err := filepath.Glob("testdata/*.pkl")
	if err != nil || len(files) == 0 {
		f.Fatal("no pickles", err)
	}
	for _, file := range files {
		f.Add(pickleFile(f, filepath.Base(file)))
	}
	f.Add([]byte(`{"data_min":[1],"data_max":[3],"scale":[0.5],"min":[-0.5]}`))
	f.Add((&Scaler{DataMin: []float64{1}, DataMax: []float64{3}, Scale: []float64{0.5}, Min: []float64{-0.5}, FeatureNames: []string{"x"}}).Pickle(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseScaler(data)
		if err != nil {
			return
		}
		for channel := range s.Width() {
			s.Inverse(channel, s.Transform(channel, s.DataMin[channel]+s.DataMax[channel]))
		}
	})
}

func pickleFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
