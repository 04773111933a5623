package codec

import (
	"slices"
	"testing"

	"fettle"
)

func newTopics(t testing.TB, patterns ...string) *Topics {
	t.Helper()
	topics, err := NewTopics(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return topics
}

func TestTopicsMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           Names
		match          bool
	}{
		{"sensor/data", "sensor/data", Names{}, true},
		{"sensor/data", "sensor/data/x", Names{}, false},
		{"sensor/data", "sensor", Names{}, false},
		{"sensor/data", "/sensor/data", Names{}, false},
		{"fettle/{machine}/readings", "fettle/press-3/readings", Names{Machine: "press-3"}, true},
		{"fettle/{machine}/readings", "fettle//readings", Names{}, false},
		{"fettle/{machine}/readings", "fettle/a/b/readings", Names{}, false},
		{"plant/{machine}/{sensor}", "plant/press-3/temp", Names{Machine: "press-3", Sensor: "temp"}, true},
		{"{machine}/+/{sensor}", "m/anything/s", Names{Machine: "m", Sensor: "s"}, true},
		{"{machine}/#", "m/a/b/c", Names{Machine: "m"}, true},
		{"{machine}/#", "m", Names{Machine: "m"}, true},
		{"#", "any/thing", Names{}, true},
		{"+", "", Names{}, true},
		{"#", "$SYS/broker/uptime", Names{}, false},
		{"{machine}/#", "$SYS/broker/uptime", Names{}, false},
		{"/{machine}", "/m", Names{Machine: "m"}, true},
		{"$share/fettle/plant/{machine}/{sensor}", "plant/m/s", Names{Machine: "m", Sensor: "s"}, true},
		{"$share/fettle//{machine}", "/m", Names{Machine: "m"}, true},
		{"$share/fettle/#", "$SYS/x", Names{}, false},
	} {
		got, ok := newTopics(t, c.pattern).Match(c.topic)
		if got != c.want || ok != c.match {
			t.Errorf("%s on %s: got %v %v, want %v %v", c.pattern, c.topic, got, ok, c.want, c.match)
		}
	}
}

func TestTopicsFirstPatternCounts(t *testing.T) {
	topics := newTopics(t, "plant/hall/{sensor}", "plant/{machine}/+", "plant/{machine}/{sensor}", "$share/hall/{machine}/#")
	if got, _ := topics.Match("plant/hall/temp"); got != (Names{Sensor: "temp"}) {
		t.Errorf("got %v, want the first pattern's names", got)
	}
	if got, want := topics.Filters(), []string{"plant/hall/+", "plant/+/+", "$share/hall/+/#"}; !slices.Equal(got, want) {
		t.Errorf("filters are %q, want %q", got, want)
	}
}

func TestTopicsRefused(t *testing.T) {
	for _, pattern := range []string{"", "a/#/b", "a#", "a/b+", "{machine}/{machine}", "a/{machin}", "a/m-{machine}", "$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g/a#"} {
		if _, err := NewTopics([]string{pattern}); fettle.KindOf(err) != fettle.Invalid {
			t.Errorf("%q: got %v, want an invalid pattern", pattern, err)
		}
	}
}
