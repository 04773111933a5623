// Package alarm turns verdicts that stay anomalous into alarms, and keeps them
// until people have seen them. Verdicts come in per machine in the order of
// their event time, and answers from people; every change of an alarm goes out
// through the function given to Open, after it is on disk. It judges nothing
// itself, and tells nobody but that function.
//
// # The rule
//
//	raise   when 3 of the last 5 judged rows have a score above 1
//	clear   when the score stayed below 0.9 for 5 rows
//	high    once a score is above 2, else medium; never lowered
//
// The three scores are Limits, which may change at any time.
//
// The sensor that explains most is the alarm's cause; the others that explain
// at least 10 % belong to the alarm too. A sensor that belongs to no open alarm
// and leads 3 of the last 5 rows raises one of its own. So a machine has at
// most one open alarm for each cause. Rows judged while a machine was learning
// say nothing: they neither raise nor clear.
//
// # The life of an alarm
//
//	raised ──acknowledge──> acknowledged ──clear──> cleared, over
//	   └────────clear─────> cleared, unseen ──acknowledge──> cleared, over
//
// A cleared alarm never opens again; the next trouble is a new alarm. A person
// who says that what an alarm tells of is normal now clears all open alarms of
// that machine (Accept), and has seen them.
//
// # Silences
//
// People may want to hear nothing of a machine for a time: because they know, or
// because somebody works on it. The book keeps who silenced it, until when and
// why; alarms live on as ever. Whoever tells of alarms asks Silenced, and whoever
// learns from readings leaves out SilencedWithin.
//
// rule.go decides, book.go keeps and tells, answer.go is what people say,
// store.go knows the records, silence.go has the silences.
// testdata/*.alarm are scripts of what happens when.
package alarm
