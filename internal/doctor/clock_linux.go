package doctor

import "golang.org/x/sys/unix"

// clockIsKept asks the kernel whether something synchronises its clock
// (adjtimex(2)); true where it does not tell.
func clockIsKept() bool {
	var state unix.Timex // no modes: nothing is changed
	_, err := unix.Adjtimex(&state)
	return err != nil || state.Status&unix.STA_UNSYNC == 0
}
