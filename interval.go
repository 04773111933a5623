package fettle

import "time"

// An Interval is a stretch of event time: From is part of it, To is not.
type Interval struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}
