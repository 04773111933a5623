package patchtst

// drop is dropout: each number becomes 0 with the given rate, and the others
// grow by 1/(1-rate), so that the mean stays. Which ones fall depends on the
// key and on the place alone (values[i] is number first+i): the backward pass
// calls drop with the same key on the gradient, and no mask is kept; nor does
// it matter which thread does it, or what was dropped before.
func drop(values []float32, rate float64, key uint64, first int) {
	if rate == 0 {
		return
	}
	scale, threshold := float32(1/(1-rate)), uint32(rate*(1<<32))
	low, high := uint32(key), uint32(key>>32)
	for i, v := range values {
		if hash(uint32(first+i)*0x9E3779B1+low)^high < threshold {
			values[i] = 0
		} else {
			values[i] = v * scale
		}
	}
}

// hash is MurmurHash3's last step: a bijection in which each bit of x turns
// half of the bits. It needs 32-bit multiplications only, of which a processor
// does many at once.
func hash(x uint32) uint32 {
	x ^= x >> 16
	x *= 0x85EBCA6B
	x ^= x >> 13
	x *= 0xC2B2AE35
	return x ^ x>>16
}

// noise is where the chance of one sample in one training step comes from.
type noise uint64

// newNoise makes a number of the seed, the step and the sample's place in the
// batch.
func newNoise(seed uint64, step, sample int) noise {
	return noise(mix(mix(mix(seed)+uint64(step)) + uint64(sample)))
}

// The places where a sample may lose numbers. Each block has three of its own.
const (
	positionalSite = iota
	headSite
	blockSites
)

// key is the key of drop at one of the places.
func (n noise) key(site int) uint64 { return mix(uint64(n) + uint64(site)) }

// The three places of a block.
func sharesSite(block int) int { return blockSites + 3*block }
func insideSite(block int) int { return blockSites + 3*block + 1 }
func pathSite(block int) int   { return blockSites + 3*block + 2 }

// mix is the step of the generator splitmix64 (Steele, Lea, Flood 2014): a
// bijection of 64 bits without visible order.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
