// Package influx is the InfluxDB 2 next door. Readings are always local; this
// package carries them over the fence, in one direction or the other, and never
// stores any:
//
//   - A [Mirror] writes every reading and every anomaly record of fettle into
//     InfluxDB, in the old system's shape, so that what reads from there goes on
//     reading. It walks the local readings by a cursor for each machine, and by
//     the store's notes of rows that came late, so it needs no queue: InfluxDB may
//     be away for as long as it likes, and ingest does not feel it.
//   - A [Follower] reads a bucket that others fill into fettle, through the gate
//     like everything else. It asks for a stretch of time again and again, each
//     time some minutes back into what it has asked before, for what came late.
//
// What is written again is the same point to InfluxDB, and the same row to
// fettle; so both may repeat themselves after a crash, and nothing is doubled.
//
// [Client] is the little of InfluxDB's API that this takes.
package influx
