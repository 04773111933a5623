package patchtst

import "math/bits"

// A shuffle is an order of 0..n-1 that is computed, not kept: a series of
// months has millions of windows, and an order must be the same again when
// training is resumed in the middle of it.
//
// It is a Feistel network, a bijection of the numbers of an even count of
// bits. Where n is not a power of 4, numbers that fall beyond n are sent
// through again, until one does not.
type shuffle struct {
	n    int
	half int // bits of each half
	keys [4]uint64
}

func newShuffle(n int, seed uint64, epoch int) shuffle {
	s := shuffle{n: n, half: (bits.Len(uint(n-1)) + 1) / 2}
	key := mix(mix(seed) + uint64(epoch))
	for i := range s.keys {
		key = mix(key)
		s.keys[i] = key
	}
	return s
}

// at is the number in the i-th place.
func (s shuffle) at(i int) int {
	x := uint64(i)
	for {
		mask := uint64(1)<<s.half - 1
		left, right := x>>s.half, x&mask
		for _, key := range s.keys {
			left, right = right, left^mix(right^key)&mask
		}
		if x = left<<s.half | right; x < uint64(s.n) {
			return int(x)
		}
	}
}
