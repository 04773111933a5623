// Package notify tells people about alarms: by e-mail, and by webhook to
// whatever program they look at. Changes of alarms come in, in the commit that
// makes them count; messages go out, at least once each. It raises and clears
// nothing, and nothing waits for it: a receiver that is slow or dead has a
// queue and a goroutine of its own.
//
// # What is told
//
// That an alarm was raised, that its priority rose, and that it is over. Its
// end is told to those who were told of it, whenever that is. The rest is news
// only while the machine's readings are: an alarm is told of while it is open
// and the machine has been judged up to at most Config.MaxAge before the clock
// on the wall. So the back-fill of an old history and the replay of a recording
// send nothing, and an alarm that is still open when a back-fill arrives at
// the present is told of then.
//
// # How it goes out
//
//	alarm's commit ── queue of each address ── message ── sent, or dead letter
//
// What is to be told is written into the alarm's own commit (Note), so that
// neither is there without the other. An address is a receiver's webhook, or
// one of its e-mail addresses. All that waits for an address goes out as one
// message: moments after the first of it came, at most one in Config.Group, and
// at most Config.PerHour in an hour, after which all that has gathered is one
// summary. A message that is not taken keeps its content and its id, and is
// tried again, more and more rarely, until Config.GiveUp. It becomes a dead
// letter then, or at once if the receiver said that it will never take it.
//
// What a crash can do: between the moment a receiver takes a message and the
// commit that notes it, it makes the message go out twice, with the same id.
//
//	notify.go   the box: receivers, Note, Run
//	news.go     what is news, and to whom
//	address.go  one address: its queue, its pace, its attempts
//	status.go   what is seen from outside: states, dead letters, tests
//	message.go  what a message says
//	mail.go     sends by SMTP
//	webhook.go  sends by HTTP, signed
//	store.go    the records
package notify
