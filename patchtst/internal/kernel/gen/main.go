// Command gen writes the assembly of package kernel: for each group of kernels
// and each kind of processor one .s file, and beside it the Go declarations.
// Run it in this folder, which is a module of its own so that the program
// itself does not depend on avo:
//
//	go run .
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	log.SetFlags(0)
	for name, emit := range map[string]func(*build.Context){
		"product_avx512":   func(c *build.Context) { products(c, avx512, false); peak(c, avx512, false) },
		"product_avx2":     func(c *build.Context) { products(c, avx2, false); peak(c, avx2, false) },
		"vector_avx512":    func(c *build.Context) { vectors(c, avx512) },
		"vector_avx2":      func(c *build.Context) { vectors(c, avx2) },
		"softmax_avx512":   func(c *build.Context) { softmaxes(c, avx512) },
		"softmax_avx2":     func(c *build.Context) { softmaxes(c, avx2) },
		"norm_avx512":      func(c *build.Context) { norms(c, avx512) },
		"norm_avx2":        func(c *build.Context) { norms(c, avx2) },
		"transpose_avx512": func(c *build.Context) { transposes(c, avx512) },
		"transpose_avx2":   func(c *build.Context) { transposes(c, avx2) },
		"convert_bf16":     bf16,
		"pause":            pauses,
		"product_bf16":     func(c *build.Context) { products(c, avx512, true); peak(c, avx512, true) },
	} {
		if err := write(filepath.Join("..", name+"_amd64"), emit); err != nil {
			log.Fatalf("gen: write %s: %v", name, err)
		}
	}
}

// write emits path.s and path.go.
func write(path string, emit func(*build.Context)) error {
	c := build.NewContext()
	emit(c)
	file, err := c.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(file); err != nil {
		return err
	}
	cfg := printer.Config{Name: "go run . in gen", Pkg: "kernel"}
	for suffix, p := range map[string]printer.Printer{".s": printer.NewGoAsm(cfg), ".go": printer.NewStubs(cfg)} {
		text, err := p.Print(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path+suffix, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
