package app

import (
	"time"

	"fettle"
)

// silences are the book's, told of.
type silences struct{ *App }

func (s silences) Silence(wanted fettle.Silence) (fettle.Silence, error) {
	made, err := s.flow.alarms.Silence(wanted)
	if err == nil {
		s.logOf("alarms").Info("machine is silenced", "machine", made.Machine, "kind", made.Kind, "from", made.From, "until", made.Until, "by", made.By, "why", made.Why)
		s.flow.say(fettle.EventSilence, made.Machine, made)
	}
	return made, err
}

func (s silences) EndSilence(id uint64, by string) (fettle.Silence, error) {
	ended, err := s.flow.alarms.EndSilence(id, by)
	if err == nil {
		s.logOf("alarms").Info("silence ended", "machine", ended.Machine, "by", by)
		s.flow.say(fettle.EventSilence, ended.Machine, ended)
	}
	return ended, err
}

func (s silences) Silences(machine string) []fettle.Silence { return s.flow.alarms.Silences(machine) }

// silenced tells whether nobody is to be told of a machine's alarms now. It is a
// matter of people, so of the wall clock.
func (a *App) silenced(machine string) bool {
	_, found := a.flow.alarms.Silenced(machine, time.Now())
	return found
}
