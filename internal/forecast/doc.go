// Package forecast says what each machine's sensors will read next.
//
// Stored readings come in. A ridge regression, fitted from them in closed form
// once 120 rows are there, or a PatchTST from the folder of models turns a
// machine's newest rows into the next steps of every sensor, each step with a
// band. Forecasts fall due at ticks of the machine's own event time, so live
// data, back-fill and the replay of an old recording are one path.
//
// Every machine has several forecasters, each with a scale of time, a rhythm and
// models of its own: the short one looks ahead in the machine's own steps, others
// in minutes or hours. A machine has those for which it has data.
//
// Reading order is data order:
//
//	forecasters.go  the scales of time, and their defaults
//	ticks.go        when a forecast is due
//	learn.go        when a ridge is fitted anew, and how it is published
//	  fit.go          the three passes of a fit over the rows
//	  runs.go         rows cut into gap-free runs of one sensor
//	  gram.go         sums of products over all windows of a run
//	  ridge.go        the regression out of these sums
//	  ridgefile.go    ridge.json, the fitted ridge as a file
//	  band.go         how far readings stray from forecasts
//	  calibrate.go    the band of a PatchTST, from stored history
//	rhythm.go       how often a machine and its sensors speak
//	source.go       rows as they are stored, or as means of minutes and hours
//	  resample.go     and out of them rows a step apart
//	history.go      a training window, for whoever trains
//	champion.go     the model that serves a machine, loaded once
//	  shelf.go        as long as there is room
//	lookback.go     the rows that a forecast is made from
//	swap.go         the newest forecast by a model that serves only since: Swapped
//	engine.go       the doors: Forecast, Latest, Next, Explain, Stats
//	keep.go         forecasts kept for a week, and read back: Kept
//	  packed.go       those that are scored, packed
//	score.go        forecasts beside what was read, once it was
//	  scoretruth.go   what was read at the time of a step
//	  bandtrack.go    a step's band, followed online; how often it held
//	  scorebook.go    what scoring knows, and where it goes on after a restart
//	  scorebucket.go  scores added up by the hour and the day
//	shadow.go       a challenger's forecasts beside the champion's: Trial
//	scoreaccuracy.go  the doors: Accuracy, beside the yardsticks, and Coverage
//	scoredrift.go   the door: Drift, a champion that is not what it was
//	validate.go     a forecast of the newest rows beside what they became
//
// # Windows
//
// A window's rows lie a step apart. The step of the short forecaster is the
// machine's own, found in its newest 2048 rows, or set. Messages within half a
// step are one row, those of different sensors within nine tenths of one; what a
// sensor says several times in a step is averaged. Up to 5 missing rows are filled with what was said before; where more are
// missing the window ends. A sensor that a row lacks is held for 5 rows; one that
// speaks every third step or more rarely, for three times its usual silence and
// at most 500 steps. Rows of the other forecasters are means of whole minutes or
// hours, taken from the rollups of closed days; the time of such a row, and of a
// forecast's step, is when it begins.
//
// A model that names no step comes from elsewhere and was trained on rows as they
// are: it sees the newest rows just as they were stored, whatever lies between.
//
// A forecast made at a time sees no row after that time, and neither does a
// fit. The package never trains a PatchTST and never raises an alarm. The wall
// clock decides only whether a tick is live, and whether the second that names
// an old model is over.
package forecast
