package kernel

import "golang.org/x/sys/cpu"

// vectorised are the implementations in assembly that this processor has.
func vectorised() []*Kernels {
	var found []*Kernels
	if x := &cpu.X86; x.HasAVX2 && x.HasFMA {
		found = append(found, kernelsAVX2())
	}
	if x := &cpu.X86; x.HasBMI2 && x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL {
		found = append(found, kernelsAVX512())
		if x.HasAVX512BF16 {
			found = append(found, kernelsBF16())
		}
	}
	return found
}

func kernelsAVX512() *Kernels {
	k := Generic()
	k.name, k.width, k.tileRows = "avx512", 32, 12
	k.product = shapes{productFullAVX512, productWideAVX512, productNarrowAVX512}
	k.productT = shapes{productTFullAVX512, productTWideAVX512, productTNarrowAVX512}
	k.add, k.addScaled, k.scale, k.dot, k.sumSquares = addAVX512, addScaledAVX512, scaleAVX512, dotAVX512, sumSquaresAVX512
	k.adamW, k.drop = adamWAVX512, dropAVX512
	k.gelu, k.geluBackward, k.relu, k.reluBackward = geluAVX512, geluBackwardAVX512, reluAVX512, reluBackwardAVX512
	k.softmaxRows, k.softmaxRowsBackward = softmaxRowsAVX512, softmaxRowsBackwardAVX512
	k.softmaxColumns, k.softmaxColumnsBackward = softmaxColumnsAVX512, softmaxColumnsBackwardAVX512
	k.moments, k.columnSums, k.scaleShift = momentsAVX512, columnSumsAVX512, scaleShiftAVX512
	k.batchNormSums, k.batchNormBackward = batchNormSumsAVX512, batchNormBackwardAVX512
	k.layerNorm, k.layerNormBackward = layerNormAVX512, layerNormBackwardAVX512
	k.transpose = transposeAVX512
	k.peak, k.turnFlop = peakAVX512, 2*24*16
	return k
}

// kernelsBF16 are those of AVX-512, with products of bfloat16.
func kernelsBF16() *Kernels {
	k := kernelsAVX512()
	k.name, k.bf16 = "avx512bf16", true
	k.productPairs = shapes{productFullPairsAVX512, productWidePairsAVX512, productNarrowPairsAVX512}
	k.productTPairs = shapes{productTFullPairsAVX512, productTWidePairsAVX512, productTNarrowPairsAVX512}
	k.peakPairs = peakPairsAVX512
	k.roundBF16, k.widenBF16 = roundBF16AVX512, widenBF16AVX512
	k.pairRows, k.pairRowsBF16 = pairRowsAVX512, pairRowsBF16AVX512
	return k
}

func kernelsAVX2() *Kernels {
	k := Generic()
	k.name, k.width, k.tileRows = "avx2", 16, 6
	k.product = shapes{productFullAVX2, productWideAVX2, productNarrowAVX2}
	k.productT = shapes{productTFullAVX2, productTWideAVX2, productTNarrowAVX2}
	k.add, k.addScaled, k.scale, k.dot, k.sumSquares = addAVX2, addScaledAVX2, scaleAVX2, dotAVX2, sumSquaresAVX2
	k.adamW, k.drop = adamWAVX2, dropAVX2
	k.gelu, k.geluBackward, k.relu, k.reluBackward = geluAVX2, geluBackwardAVX2, reluAVX2, reluBackwardAVX2
	k.softmaxRows, k.softmaxRowsBackward = softmaxRowsAVX2, softmaxRowsBackwardAVX2
	k.softmaxColumns, k.softmaxColumnsBackward = softmaxColumnsAVX2, softmaxColumnsBackwardAVX2
	k.moments, k.columnSums, k.scaleShift = momentsAVX2, columnSumsAVX2, scaleShiftAVX2
	k.batchNormSums, k.batchNormBackward = batchNormSumsAVX2, batchNormBackwardAVX2
	k.layerNorm, k.layerNormBackward = layerNormAVX2, layerNormBackwardAVX2
	k.transpose = transposeAVX2
	k.peak, k.turnFlop = peakAVX2, 2*12*8
	return k
}
