package patchtst

import "fettle/patchtst/internal/kernel"

// drop is dropout at one of the sites where a sample may lose numbers: see
// kernel.Drop. Which of them fall depends on seed, step, sample, site and the
// place first+i of a number at its site, and on nothing else: the way back drops
// the same of the gradient, and no layout, precision or number of threads
// changes which. The place of a number of an activation (C K, width) is its
// index; for attention's shares see dropShares.
func (p *pass) drop(values []float32, rate float64, site, first int) {
	if rate > 0 {
		p.k.Drop(values, dropout(rate, p.noise.key(site)), first)
	}
}

func dropout(rate float64, key uint64) kernel.Dropout {
	return kernel.Dropout{Threshold: uint32(rate * (1 << 32)), Scale: float32(1 / (1 - rate)), Key: key}
}

// noise is where the chance of one sample in one training step comes from.
type noise uint64

// newNoise makes a number of the seed, the step and the sample's place in the
// batch.
func newNoise(seed uint64, step, sample int) noise {
	return noise(mix(mix(mix(seed)+uint64(step)) + uint64(sample)))
}

// The sites where a sample may lose numbers. Each block has three of its own.
const (
	positionalSite = iota
	headSite
	blockSites
)

// key is the key of drop at a site.
func (n noise) key(site int) uint64 { return mix(uint64(n) + uint64(site)) }

// The three sites of a block.
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
