package service

// Sudo goes before a command that needs more rights than most people have; on
// Windows it is the whole window that has them.
const Sudo = ""

// OtherLog is where the system's own log of the service is.
const OtherLog = "Get-WinEvent -FilterHashtable @{LogName='Application'; ProviderName='fettle'} -MaxEvents 20"
