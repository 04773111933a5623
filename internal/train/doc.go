// Package train makes forecasting models from rows of readings. A window of one
// machine's rows comes in, as stored or as read from a table; out come a trained
// PatchTST or ridge regression, its scores beside the yardsticks that need no
// model, and the folder in which it can be kept. Three parts of the rows are
// kept apart, the oldest to learn from, newer ones to choose the best epoch by,
// the newest to judge by: no number in a score was seen before. The package
// never reads a store or a file of readings, and never says which model serves.
//
//	set.go    rows made ready: gaps, missing values, parts, scale
//	scale.go  the scalers
//	score.go  a forecaster's errors on the newest rows
//	fit.go    training, and the folder of the result
package train
