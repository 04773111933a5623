package web

import "fettle"

// A chip says how urgent something is: always by shape, letter and word, never
// by colour alone. Filled is unanswered, outlined is acknowledged, dashed went
// away before anybody answered.
type chip struct {
	Shape string // of the symbols in frame.html; empty: plain words
	Style string // filled, outline, dashed, plain
	Word  string
	State string // for those who cannot see the style
}

func alarmChip(a fettle.Alarm) chip {
	c := chip{Shape: string(a.Priority), Style: "filled", State: "unanswered"}
	switch a.Priority {
	case fettle.High:
		c.Word = "High"
	case fettle.Medium:
		c.Word = "Medium"
	default:
		c.Shape, c.Word = string(fettle.Low), "Low"
	}
	switch {
	case !a.Open() && a.Unanswered():
		c.Style, c.State = "dashed", "cleared, unanswered"
	case !a.Open():
		c.Style, c.State = "outline", "cleared"
	case !a.Unanswered():
		c.Style, c.State = "outline", "acknowledged"
	}
	return c
}

// machineChip is a machine's most urgent alarm, or its state.
func machineChip(m fettle.Machine) chip {
	switch {
	case m.State == fettle.StateNoData:
		return chip{Shape: "fault", Style: "outline", Word: "No data"}
	case len(m.Alarms) > 0:
		return alarmChip(pressing(m))
	case m.State == fettle.StateLearning:
		return chip{Style: "plain", Word: "Learning"}
	case m.State == fettle.StateNormal:
		return chip{Style: "plain", Word: "Normal"}
	default:
		return chip{Style: "plain", Word: "Alarm"}
	}
}

// pressing is the open alarm of a machine in alarm that needs somebody first:
// an unanswered one before a worse one that somebody has seen.
func pressing(m fettle.Machine) fettle.Alarm { return sortAlarms(m.Alarms)[0] }
