// Package kernel holds the loops in which a PatchTST spends its time: products
// of matrices, softmax, GELU, normalisation, AdamW, and the pool of workers
// that shares them out. Slices and matrices of float32 (row major) or bfloat16
// come in, and the results stand in slices that the caller brought: no kernel
// allocates. It knows nothing of models.
//
// Every kernel is described by the Go loop that it equals, and that loop is
// there (the functions named ...Generic): it runs where there is no assembly,
// and all assembly is tested against it. Kernels in assembly differ from their
// loop as far as the order of a sum, fused multiply-adds and the polynomials of
// exp and erf go; each says by how much. The same input to the same kernels
// gives the same bits, wherever it lies in memory and however rows are shared
// out. NaN and infinity come out where the loop has them.
//
// Take Kernels from Fastest. The assembly is written by the programs in gen.
// A goroutine cannot be interrupted in assembly, so no call is longer than
// 50 us: methods cut their work into such calls.
package kernel
