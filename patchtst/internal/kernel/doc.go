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
// Take Kernels from Fastest, pack each weight once a step (Pack,
// PackTransposed), and work on blocks of some hundred rows, whose activations
// stay in the second cache from one kernel to the next: inside a kernel nothing
// is gained by larger ones. A goroutine cannot be interrupted in assembly, so
// methods cut their work into calls of less than 50 us: on a Zen 5 processor the
// longest, AdamW of numbers that lie in no cache, takes 9, and a product 8
// (BenchmarkLongestCalls).
//
// Of the peak, which a loop that only multiplies and adds reaches at the same
// time, the products of a linear layer reach 93 to 99 % on a Zen 5 processor
// (270 GFLOP/s of float32, 540 of bfloat16, one thread), and 23 x 32 x 23, one
// head of attention, 65 %: a register has 16 columns. BenchmarkProducts measures
// it, BenchmarkLoops and BenchmarkMoves the rest.
//
// The assembly is written by the programs in gen.
package kernel
