package kernel

import "golang.org/x/sys/cpu"

// vectorised are the implementations in assembly that this processor has.
func vectorised() []*Kernels {
	var found []*Kernels
	if x := &cpu.X86; x.HasAVX2 && x.HasFMA {
		found = append(found, kernelsAVX2())
	}
	if x := &cpu.X86; x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL {
		found = append(found, kernelsAVX512())
	}
	return found
}

func kernelsAVX512() *Kernels {
	k := Generic()
	k.name, k.width, k.tileRows = "avx512", 32, 12
	k.product = shapes{productFullAVX512, productWideAVX512, productNarrowAVX512}
	k.productT = shapes{productTFullAVX512, productTWideAVX512, productTNarrowAVX512}
	k.peak, k.turnFlop = peakAVX512, 2*24*16
	return k
}

func kernelsAVX2() *Kernels {
	k := Generic()
	k.name, k.width, k.tileRows = "avx2", 16, 6
	k.product = shapes{productFullAVX2, productWideAVX2, productNarrowAVX2}
	k.productT = shapes{productTFullAVX2, productTWideAVX2, productTNarrowAVX2}
	k.peak, k.turnFlop = peakAVX2, 2*12*8
	return k
}
