package verdict

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fettle"
)

func TestChunkHoldsVerdicts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c chunk
		var want []fettle.Verdict
		now := time.UnixMicro(rapid.Int64Range(-1e15, 4e15).Draw(t, "first")).UTC()
		for range rapid.IntRange(1, 40).Draw(t, "rows") {
			v := fettle.Verdict{Machine: "m", Time: now}
			if v.Learning = rapid.Bool().Draw(t, "learning"); !v.Learning {
				v.Score = rapid.Float64Range(0, 1200).Draw(t, "score")
				v.Causes = rapid.SliceOfN(causes, 0, fettle.MaxCauses).Draw(t, "causes")
			}
			c.add(v)
			want = append(want, v)
			now = now.Add(time.Duration(rapid.Int64Range(1, 1e12).Draw(t, "step")) * time.Microsecond)
		}
		var got []fettle.Verdict
		err := readChunk("m", c.first, c.bytes, func(v fettle.Verdict) error { got = append(got, v); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, same) {
			t.Fatalf("read back %v, expected %v", got, want)
		}
	})
}

var causes = rapid.Custom(func(t *rapid.T) fettle.Cause {
	return fettle.Cause{
		Sensor: rapid.SampledFrom([]string{"", "tempA", "tempB", "Druck/Öl"}).Draw(t, "sensor"),
		Share:  rapid.Float64Range(0, 1).Draw(t, "share"),
		Value:  rapid.Float64().Draw(t, "value"),
		Low:    rapid.SampledFrom([]float64{1, 2}).Draw(t, "low"),
		High:   rapid.SampledFrom([]float64{3, 4}).Draw(t, "high"),
	}
})

// Records come from our own disk, but a damaged one must not take the program
// with it.
func FuzzReadChunk(f *testing.F) {
	var c chunk
	c.add(fettle.Verdict{Time: at(0), Score: 0.4})
	c.add(fettle.Verdict{Time: at(1), Score: 1.4, Causes: []fettle.Cause{{Sensor: "tempA", Share: 1, Value: 70, Low: 60, High: 66}}})
	f.Add([]byte(c.bytes))
	f.Add([]byte{chunkVersion, 0, 0, 1, 7})
	f.Add([]byte{9})
	f.Fuzz(func(t *testing.T, record []byte) {
		rows := 0
		err := readChunk("m", at(0), record, func(v fettle.Verdict) error {
			if rows++; len(v.Causes) >= learningFlag {
				t.Fatalf("a verdict with %d causes", len(v.Causes))
			}
			return nil
		})
		if err == nil && len(record) > 1 && rows == 0 {
			t.Fatal("a record with rows, read without error, gave none")
		}
	})
}

func FuzzUnpackModel(f *testing.F) {
	m, err := fit(sourceOf(healthy(150, 1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(m.pack()))
	f.Add([]byte{recordVersion, 1, 1, 'a'})
	f.Fuzz(func(t *testing.T, record []byte) {
		if m, err := unpackModel(record); err == nil {
			newWatch(m).take(healthy(1, 1)[0], true)
		}
	})
}
