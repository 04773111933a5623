package fettle

import (
	"slices"
	"time"
)

// An Interval is a stretch of event time: From is part of it, To is not.
type Interval struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Union is the time that is in any of the intervals: ascending, apart, in a list
// of its own.
func Union(intervals []Interval) []Interval {
	sorted := slices.Clone(intervals)
	slices.SortFunc(sorted, func(a, b Interval) int { return a.From.Compare(b.From) })
	var union []Interval
	for _, next := range sorted {
		if n := len(union); n > 0 && !next.From.After(union[n-1].To) {
			if next.To.After(union[n-1].To) {
				union[n-1].To = next.To
			}
			continue
		}
		union = append(union, next)
	}
	return union
}
