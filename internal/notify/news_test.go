package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fettle"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// all is a receiver of everything.
func all(name string) Receiver {
	return Receiver{Name: name, Priorities: []fettle.Priority{fettle.High, fettle.Medium, fettle.Low}, On: []Change{Raised, Escalated, Cleared}}
}

func open(id uint64, priority fettle.Priority, raised time.Time) fettle.Alarm {
	return fettle.Alarm{ID: id, Machine: "press-3", Priority: priority, State: fettle.Raised, RaisedAt: raised, Sentence: "vib reads 81.2",
		Causes: []fettle.Cause{{Sensor: "vib", Share: 0.7}, {Sensor: "oil", Share: 0.2}}}
}

func cleared(a fettle.Alarm, at time.Time) fettle.Alarm {
	a.State, a.ClearedAt = fettle.Cleared, &at
	return a
}

// In each case alarms change in one commit, or in several, of a machine that is
// judged up to the last time; the oldest news are of noon.
func TestWhatIsNews(t *testing.T) {
	before, after := noon.Add(-time.Minute), noon.Add(time.Minute)
	rose := open(1, fettle.Medium, after)
	worse := open(1, fettle.High, after)
	acknowledged := rose
	acknowledged.State = fettle.Acknowledged
	old := open(1, fettle.Medium, before)
	everybody := []Receiver{all("a")}
	urgent := all("urgent")
	urgent.Priorities = []fettle.Priority{fettle.High}
	presses := all("presses")
	presses.Machines = []string{"press-*"}
	lathes := all("lathes")
	lathes.Machines = []string{"lathe-1", "lathe-2"}
	quiet := all("quiet")
	quiet.On = []Change{Raised}
	type commit struct {
		alarms []fettle.Alarm
		until  time.Time
		silent bool
	}
	one := func(until time.Time, alarms ...fettle.Alarm) []commit { return []commit{{alarms, until, false}} }
	for _, c := range []struct {
		what      string
		receivers []Receiver
		commits   []commit
		want      string
	}{
		{"raised", everybody, one(after, rose), "a raised 1"},
		{"nobody is there", nil, one(after, rose), ""},
		{"told once, however often its score changes", everybody, []commit{{[]fettle.Alarm{rose}, after, false}, {[]fettle.Alarm{rose}, after, false}}, "a raised 1"},
		{"acknowledged", everybody, one(after, rose, acknowledged), "a raised 1"},
		{"escalated", everybody, one(after, rose, worse), "a raised 1, a escalated 1"},
		{"over", everybody, one(after, rose, cleared(rose, after)), "a raised 1, a cleared 1"},
		{"over in a later commit", everybody, []commit{{[]fettle.Alarm{rose}, after, false}, {[]fettle.Alarm{cleared(rose, after)}, after, false}}, "a raised 1, a cleared 1"},
		{"two alarms", everybody, one(after, rose, open(2, fettle.High, after), cleared(rose, after)), "a raised 1, a raised 2, a cleared 1"},

		{"long ago and still so", everybody, one(before, old), ""},
		{"long ago and over", everybody, one(before, old, cleared(old, before)), ""},
		{"lasts until the present", everybody, []commit{{[]fettle.Alarm{old}, before, false}, {[]fettle.Alarm{old}, after, false}}, "a raised 1"},
		{"ended while the past was caught up with", everybody, one(after, old, cleared(old, after)), ""},
		{"its end comes late", everybody, []commit{{[]fettle.Alarm{rose}, after, false}, {[]fettle.Alarm{cleared(rose, before)}, before, false}}, "a raised 1, a cleared 1"},

		{"only urgent ones", []Receiver{urgent}, one(after, rose), ""},
		{"becomes urgent", []Receiver{urgent, all("a")}, one(after, rose, worse), "a raised 1, urgent raised 1, a escalated 1"},
		{"some machines", []Receiver{presses, lathes}, one(after, rose, cleared(rose, after)), "presses raised 1, presses cleared 1"},

		{"raised in a silence, and over in it", everybody, []commit{{[]fettle.Alarm{rose}, after, true}, {[]fettle.Alarm{cleared(rose, after)}, after, true}}, ""},
		{"raised in a silence, and lasts", everybody, []commit{{[]fettle.Alarm{rose}, after, true}, {[]fettle.Alarm{rose}, after, true}, {[]fettle.Alarm{rose}, after, false}}, "a raised 1"},
		{"over in a silence that came after", everybody, []commit{{[]fettle.Alarm{rose}, after, false}, {[]fettle.Alarm{cleared(rose, after)}, after, true}}, "a raised 1, a cleared 1"},
		{"rises in a silence", everybody, []commit{{[]fettle.Alarm{rose}, after, false}, {[]fettle.Alarm{worse}, after, true}, {[]fettle.Alarm{worse}, after, false}}, "a raised 1, a escalated 1"},
		{"wants no end", []Receiver{quiet}, one(after, rose, worse, cleared(worse, after)), "quiet raised 1"},
	} {
		known := map[uint64]told{}
		var got []string
		for _, commit := range c.commits {
			news := sift(commit.alarms, sifting{until: commit.until, oldest: noon, silent: commit.silent, receivers: c.receivers, known: known})
			for _, n := range news.notices {
				got = append(got, fmt.Sprint(n.receiver, " ", n.Change, " ", n.Alarm.ID))
			}
			for id, t := range news.told {
				known[id] = t
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: told %q, expected %q", c.what, text, c.want)
		}
	}
}

func TestPatternsOfMachines(t *testing.T) {
	for _, c := range []struct {
		pattern, machine string
		want             bool
	}{
		{"press-*", "press-3", true},
		{"press-*", "lathe-3", false},
		{"hall 1*", "hall 1: press 3", true},
		{"*-3", "press-3", true},
		{"press-[12]", "press-2", true},
		{"press-[12]", "press-3", false},
		{"Mühle 7", "Mühle 7", true},
	} {
		r := all("a")
		r.Machines = []string{c.pattern}
		if got := r.wants(fettle.Alarm{Machine: c.machine, Priority: fettle.Low}); got != c.want {
			t.Errorf("pattern %q wants machine %q: %v", c.pattern, c.machine, got)
		}
	}
}
