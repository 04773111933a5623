package codec

import (
	"slices"
	"strings"

	"fettle"
)

// Names are what a topic says about the messages on it; empty where it says
// nothing.
type Names struct {
	Machine, Sensor string
}

// Topics tells which topics carry sensor messages, and what their levels mean.
type Topics struct {
	patterns []pattern
}

// A pattern is a topic cut into its levels.
type pattern struct {
	share  string // "$share/group/" of a shared subscription; it is no part of the topic
	levels []string
}

const (
	levelMachine = "{machine}"
	levelSensor  = "{sensor}"
	levelAny     = "+"
	levelRest    = "#"
	sharedPrefix = "$share/"
)

// NewTopics reads patterns: topics as in MQTT, in which + stands for any one
// level, # at the end for any number of levels, and {machine} and {sensor} for
// a level that is such a name. Examples: "sensor/data",
// "fettle/{machine}/readings", "plant/{machine}/{sensor}". Before it may stand
// $share/group/, for which a broker deals the messages out among those that
// subscribe with the same group.
func NewTopics(patterns []string) (*Topics, error) {
	t := &Topics{}
	for _, text := range patterns {
		p, err := parsePattern(text)
		if err != nil {
			return nil, err
		}
		t.patterns = append(t.patterns, p)
	}
	return t, nil
}

func parsePattern(text string) (pattern, error) {
	bad := func(expected string) (pattern, error) {
		return pattern{}, fettle.BadField("bad topic pattern", "topic pattern", "\""+text+"\"", expected)
	}
	if text == "" {
		return bad("a topic, such as fettle/{machine}/readings")
	}
	share, topic, expected := cutShare(text)
	if expected != "" {
		return bad(expected)
	}
	levels := strings.Split(topic, "/")
	seen := map[string]bool{}
	for i, level := range levels {
		switch {
		case level == levelMachine || level == levelSensor:
			if seen[level] {
				return bad(level + " once at most")
			}
			seen[level] = true
		case level == levelAny:
		case level == levelRest:
			if i != len(levels)-1 {
				return bad("# as the last level only")
			}
		case strings.ContainsAny(level, "+#{}"):
			return bad("+, #, {machine} and {sensor} as whole levels, and no other braces")
		}
	}
	return pattern{share, levels}, nil
}

// cutShare cuts $share/group/ off a pattern; expected says what is wrong.
func cutShare(text string) (share, topic, expected string) {
	rest, shared := strings.CutPrefix(text, sharedPrefix)
	if !shared {
		return "", text, ""
	}
	group, topic, found := strings.Cut(rest, "/")
	if group == "" || strings.ContainsAny(group, "+#{}") || !found || topic == "" {
		return "", "", "$share/, the name of a group, / and a topic"
	}
	return sharedPrefix + group + "/", topic, ""
}

// Match tells whether messages on the topic are sensor messages, and what the
// topic names. Of several patterns the first that fits counts.
func (t *Topics) Match(topic string) (Names, bool) {
	for _, p := range t.patterns {
		if names, ok := p.match(topic); ok {
			return names, true
		}
	}
	return Names{}, false
}

func (p pattern) match(topic string) (names Names, ok bool) {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(p.levels[0], "$") {
		return Names{}, false // as in MQTT, wildcards leave the broker's own topics alone
	}
	rest, more := topic, true
	for _, want := range p.levels {
		if want == levelRest {
			return names, true // also with no level left: a/# includes a
		}
		if !more {
			return Names{}, false
		}
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case want == levelMachine && level != "":
			names.Machine = level
		case want == levelSensor && level != "":
			names.Sensor = level
		case want == levelAny || want == level:
		default:
			return Names{}, false
		}
	}
	return names, !more
}

// Filters lists the MQTT subscriptions that bring all these topics, each once.
func (t *Topics) Filters() []string {
	var filters []string
	for _, p := range t.patterns {
		levels := slices.Clone(p.levels)
		for i, level := range levels {
			if level == levelMachine || level == levelSensor {
				levels[i] = levelAny
			}
		}
		if filter := p.share + strings.Join(levels, "/"); !slices.Contains(filters, filter) {
			filters = append(filters, filter)
		}
	}
	return filters
}
