// Package service has the operating system keep fettle: it starts with the
// computer, is started again when it dies or hangs, and may do little else than
// what a server must.
//
// What comes in is a Spec: which program, with which settings, over which
// folder. A Manager makes it a service of systemd or of Windows, and starts,
// stops and describes it. On the other side Run is what the program itself runs
// under: it tells whoever started it that it is ready, that it is alive, and that
// it ends.
//
//	fettle service install ── Manager ── unit, or service
//	                                          │ starts
//	fettle serve ── Run ── Program            │
//	                 └──── READY, WATCHDOG, STOPPING (systemd); Running, Stopped (Windows)
//
// The package never touches what is in the data folder, and uninstalling leaves
// the folder, the settings and the user they belong to. Whatever the server
// starts, a tunnel or trainings, is inside the same service.
package service

// Name is what the service is called everywhere.
const Name = "fettle"

const (
	displayName = "fettle predictive maintenance"
	description = "Keeps, forecasts and judges the readings of machines, and raises alarms."
)
