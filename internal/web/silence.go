package web

import (
	"time"

	"fettle"
)

// A silenceView tells that nobody is told of a machine's alarms now.
type silenceView struct {
	ID    uint64
	Name  string
	Until moment
	By    string
	Why   string
}

func silenceOf(m fettle.Machine, c clock) *silenceView {
	if m.Silence == nil {
		return nil
	}
	until := c.at(m.Silence.Until)
	if m.Silence.Until.Sub(c.now) < 24*time.Hour {
		until.Text = m.Silence.Until.In(c.zone).Format("15:04")
	}
	s := silenceView{ID: m.Silence.ID, Name: "Silenced", Until: until, By: m.Silence.By, Why: m.Silence.Why}
	if m.Silence.Kind == fettle.SilenceService {
		s.Name = "Service"
	}
	return &s
}
