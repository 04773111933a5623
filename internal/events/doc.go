// Package events is the one log of what changed: numbered events come in from
// everybody who changes something that a person could want to see, and go out
// to everybody who watches, in the order of their numbers. It knows nothing of
// what the events are about, and a reader that is slow or gone never holds up a
// writer.
//
// Events are kept twice. All of them stand in a ring in memory, bounded in
// number and bytes. Those that may never be missed (alarms, models, training,
// tunnel; see fettle.EventKind.Curve) are kept in the store too, the newest ten
// thousand, for readers that were away. Of curves a reader that fell behind
// gets the newest of each machine only.
//
//	log.go     numbers, the ring, what is kept
//	reader.go  waiting and reading
package events
