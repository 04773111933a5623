// Package verdict says of every reading of every machine whether the machine is
// still as it was. Rows of readings come in, in the order of their event time;
// out goes a verdict for each: a score (at most 1 is normal) and, when it is
// not, the sensors behind it with what was usual for them. It raises no alarm,
// and never looks at a row after the one it judges.
//
// The way of a row, file by file:
//
//	judge.go       the rows of many machines; what readers may ask
//	watch.go       one machine's rows: silent sensors, gaps, causes
//	detector.go    the arithmetic of a row: predict, average what was missed
//	course.go      when to learn anew
//	learn.go       a new model takes over from the old one
//	accept.go      a person says that how a machine is now is normal
//	survey.go fit.go spread.go matrix.go   learning: two passes over stored rows
//	quarantine.go  rows that nothing may be learned from
//	store.go state.go chunk.go pack.go     what is kept, and how
//	sentence.go    a cause in words
//
// Beside it, in rule.go and anomaly.go, stands the rule of the old system,
// which judges a forecast by the range of its look-back. Old clients are
// answered by it; alarms do not rest on it.
//
// # What is learned, and when
//
// A machine is fitted once it has 120 rows, again at each doubling up to 30
// days, then daily, on rows that were judged normal. All that is event time, so
// live data, back-fill and the replay of an old recording give the same
// verdicts. After a crash judging resumes at the last saved cursor, and comes
// to the same verdicts again unless rows were added to the past meanwhile.
//
// What is judged anomalous is not learned from, and a machine that stays
// different stays in alarm: a fault that nobody has seen to over a holiday must
// not become normal by itself. It ends when a person says that this is normal
// now (Accept), or when the machine has been different for as many rows as its
// model was fitted on, 30 days at most.
//
// At most MaxSensors sensors are judged together; of more, those that speak and
// move come first, then the first by name. A sensor that disappears is left out
// of the judgement, and raises nothing. One that joins a machine is judged once
// a fit knows it, which is due when it has spoken in 120 rows.
package verdict
