// Package hush keeps libraries from writing to standard error while the program
// is loaded: one tells every user of every command that the kernel does not
// measure pressure, as on a Raspberry Pi. Nothing comes in; what they write to
// Go's standard logger goes nowhere until Over is called. fettle itself never
// writes there.
//
// It works by Go's order of initialization: a package whose imports are ready
// comes before one with a later import path, and fettle/… before github.com/….
package hush

import (
	"io"
	"log"
)

var loud = silence()

func silence() io.Writer {
	w := log.Writer()
	log.SetOutput(io.Discard)
	return w
}

// Over lets the standard logger write again. main calls it first.
func Over() { log.SetOutput(loud) }
