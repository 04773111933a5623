package main

import (
	"go/token"
	"go/types"

	"github.com/mmcloughlin/avo/gotypes"
)

// signature is the Go type of a function.
func signature(goType string) *gotypes.Signature {
	s, err := gotypes.ParseSignatureInPackage(kernelTypes, goType)
	if err != nil {
		panic("BUG: gen: " + goType + ": " + err.Error())
	}
	return s
}

// kernelTypes are package kernel's types that assembly takes.
var kernelTypes = func() *types.Package {
	pkg := types.NewPackage("kernel", "kernel")
	declare := func(name string, t types.Type) types.Type {
		typeName := types.NewTypeName(token.NoPos, pkg, name, nil)
		pkg.Scope().Insert(typeName)
		return types.NewNamed(typeName, t, nil)
	}
	fields := func(t types.Type, names ...string) (list []*types.Var) {
		for _, name := range names {
			list = append(list, types.NewField(token.NoPos, pkg, name, t, false))
		}
		return list
	}
	structure := func(name string, parts ...[]*types.Var) {
		var all []*types.Var
		for _, p := range parts {
			all = append(all, p...)
		}
		declare(name, types.NewStruct(all, nil))
	}
	pointer, integer, float := types.Typ[types.UnsafePointer], types.Typ[types.Int], types.Typ[types.Float32]
	declare("pointer", pointer) // an alias of unsafe.Pointer
	structure("view", fields(pointer, "at"), fields(integer, "stride"))
	structure("adamFactors", fields(float, "gradientScale", "decay", "size", "root", "epsilon", "rest1", "beta2", "rest2"))
	structure("Dropout", fields(types.Typ[types.Uint32], "Threshold"), fields(float, "Scale"), fields(types.Typ[types.Uint64], "Key"))
	structure("BatchNormGradient", fields(types.NewSlice(float), "Factor", "Mean", "MeanG", "Slope"))
	declare("BF16", types.Typ[types.Uint16])
	return pkg
}()
