//go:build unix

package service

// Sudo goes before a command that needs more rights than most people have.
const Sudo = "sudo "

// OtherLog is where the system's own log of the service is.
const OtherLog = "journalctl --unit=fettle"
