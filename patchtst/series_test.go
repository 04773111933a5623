package patchtst

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestWindows compares the stretches with a look at each window.
func TestWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := small()
		c.Channels, c.ContextLength, c.PredictionLength, c.PatchLength = rapid.IntRange(1, 2).Draw(t, "channels"), rapid.IntRange(2, 4).Draw(t, "context"), rapid.IntRange(1, 3).Draw(t, "horizon"), 1
		rows, stride := rapid.IntRange(0, 40).Draw(t, "rows"), rapid.IntRange(1, 4).Draw(t, "stride")
		s := Series{Values: make([]float32, rows*c.Channels), Observed: make([]bool, rows*c.Channels)}
		for i := range s.Observed {
			s.Observed[i] = true
		}
		for _, at := range rapid.SliceOfN(rapid.IntRange(0, max(len(s.Values)-1, 0)), 0, 4).Draw(t, "broken") {
			if len(s.Values) > 0 {
				s.Values[at] = float32(math.Inf(1))
			}
		}
		for _, at := range rapid.SliceOfN(rapid.IntRange(0, max(len(s.Values)-1, 0)), 0, 4).Draw(t, "not measured") {
			if len(s.Values) > 0 {
				s.Observed[at] = false
			}
		}
		var want []int
		unusable, last := 0, -1 // last: the stretch's last window
		for start := 0; start+c.ContextLength+c.PredictionLength <= rows; start++ {
			b := batch{s, []int{start}}
			target := (start + c.ContextLength) * c.Channels
			size := c.PredictionLength * c.Channels
			if !finite(b.window(c, 0).values) || !finite(b.target(c, 0)) || !all(s.Observed[target:][:size]) {
				unusable++
				last = -1
				continue
			}
			if last < 0 || start-last == stride {
				want = append(want, start)
				last = start
			}
		}
		w := findWindows(s, c, stride)
		var got []int
		for i := range w.count {
			got = append(got, w.start(i))
		}
		if !slices.Equal(got, want) || w.unusable != unusable {
			t.Fatalf("windows %v, %d unusable; want %v, %d", got, w.unusable, want, unusable)
		}
	})
}

// TestShuffle takes each number once, in another order each epoch.
func TestShuffle(t *testing.T) {
	for n := 1; n < 300; n++ {
		for epoch := range 3 {
			s, seen := newShuffle(n, 7, epoch), make([]bool, n)
			for i := range n {
				if x := s.at(i); x < 0 || x >= n || seen[x] {
					t.Fatalf("of %d numbers, %d comes twice or not at all", n, x)
				} else {
					seen[x] = true
				}
			}
		}
	}
	// In a good shuffle a number follows its successor as often as any other.
	const n = 100_000
	a, b, neighbours, same := newShuffle(n, 7, 0), newShuffle(n, 7, 1), 0, 0
	for i := range n - 1 {
		if a.at(i+1) == a.at(i)+1 {
			neighbours++
		}
		if a.at(i) == b.at(i) {
			same++
		}
	}
	if neighbours > 10 || same > 10 {
		t.Errorf("%d neighbours stay so, %d numbers stay in their places; want about 1 of each", neighbours, same)
	}
}
