package app

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAlarmTopic(t *testing.T) {
	for machine, want := range map[string]string{
		"mill-1": "mill-1", "a/b": "a%2Fb", "a+b": "a%2Bb", "#": "%23", "+": "%2B", "a%2Fb": "a%252Fb", "ü ": "%C3%BC%20", "$SYS": "$SYS",
	} {
		if got := alarmTopic(machine); got != "fettle/alarm/"+want {
			t.Errorf("%q: %s", machine, got)
		}
	}
}

// No name of a machine makes a topic of another, or a filter.
func TestAlarmTopicIsOneLevel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := rapid.String().Draw(t, "one"), rapid.String().Draw(t, "other")
		topic := alarmTopic(one)
		if strings.ContainsAny(topic, "+#\x00") || strings.Count(topic, "/") != 2 || (topic == alarmTopic(other)) != (one == other) {
			t.Errorf("%q: %s", one, topic)
		}
	})
}
