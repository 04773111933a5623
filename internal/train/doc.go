// Package train makes forecasting models from rows of readings, and decides
// which of them serve. What comes in are a machine's stored readings, or a table;
// out come a trained PatchTST, its scores beside the yardsticks that need no
// model, and the folder in which it is kept. Three parts of the rows are kept
// apart, the oldest to learn from, newer ones to choose the best epoch by, the
// newest to judge by: no number in a score was seen before.
//
// A PatchTST is never trained inside the server. The Manager keeps a queue of
// runs, writes each one's job into a file, and has a Runner do it: a child
// process at the lowest priority, or a cluster. Whatever happens to a worker or
// to the server, the champion serves on, and the run's record says what
// happened; a run that was interrupted goes on from its checkpoint to the same
// bytes.
//
// Reading order is data order:
//
//	schedule.go  when machines are trained
//	control.go   runs are asked for, paused, cancelled
//	queue.go     their records
//	manager.go   the queue is worked off
//	run.go       one run, from a job to a version
//	history.go   the readings that it learns from
//	child.go     the worker as a process
//	cluster.go   the worker on a cluster
//	publish.go   what came back becomes a version
//	decide.go    and serves, if it is better
//	shadow.go    also in the shadow of what serves, if that is asked for
//
// A run that a cluster does is one operation there, which outlives the server:
//
//	place.go     where a run is done, and what is written down of it
//	absence.go   a cluster that cannot be reached
//	sendjob.go   the job's line for a worker that has none of our files
//	desk.go      what such a worker may fetch and tell, with its run's key
//	spark.go     Spark
//
// The worker, which knows of no store and no server:
//
//	job.go       the line that it reads
//	rows.go      readings packed and unpacked
//	plan.go      what it will take, told before it starts
//	worker.go    the job done
//	report.go    progress told, readings fetched
//	result.go    the line that it answers
//
// What both stand on:
//
//	preset.go    what a model is trained by
//	set.go       rows made ready: gaps, missing values, quarantine, parts, scale
//	scale.go     the scalers
//	fit.go       training, and the folder of the result
//	score.go     errors on the newest rows, of all on the same windows
//	champion.go  the version that serves, among them
//	duel.go      whether one is better, or lucky
package train
