package codec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"fettle"
)

// Fields of a message that are not sensors, whatever they hold.
const (
	fieldMachine   = "machine"
	fieldWorkspace = "workspace_id" // the old senders' word for machine
	fieldTimestamp = "timestamp"
	fieldTime      = "time"
	fieldTS        = "ts"
	fieldValues    = "values" // an object of sensors, as a reading is printed
	fieldTags      = "tags"   // an object of tags, as a reading is printed
	fieldValue     = "value"  // the sensor that the topic names
)

// timeFields in the order in which they count.
var timeFields = [...]string{fieldTimestamp, fieldTime, fieldTS}

// A message is one reading in the making. What is wrong with it is remembered,
// and the rest only read over, so that the next message can be judged.
type message struct {
	scan  *scanner
	place string // where in the payload: "" or "[3]"
	names Names  // what the topic said

	machine, workspace string
	times              [len(timeFields)]token
	timed              [len(timeFields)]bool
	values             []fettle.Value
	tags               map[string]string
	bad                *fettle.Error // the first fault
}

// usualSensors saves most messages the growing of their values.
const usualSensors = 8

// decodeMessage reads one message: an object or, where the topic names a
// sensor, a bare number. bad tells what is wrong with this message alone, err
// what is wrong with the JSON.
func decodeMessage(names Names, place string, s *scanner) (row fettle.Reading, bad *fettle.Error, err error) {
	m := &message{scan: s, place: place, names: names, values: make([]fettle.Value, 0, usualSensors)}
	s.peek()
	start := s.pos
	v, err := s.value()
	if err != nil {
		return row, nil, err
	}
	switch {
	case v.kind == kindObject:
		err = m.object("", 0)
	case v.kind == kindArray:
		err = s.skip(v.kind, 1)
		m.fail(reasonShape, "", "an array in an array", "an object in each place of the array")
	case names.Sensor == "" || v.kind == kindText:
		m.fail(reasonShape, "", string(s.data[start:s.pos]), m.shape())
	default:
		m.field(names.Sensor, v)
	}
	if err != nil {
		return row, nil, err
	}
	row = m.reading()
	return row, m.bad, nil
}

// shape says what a message on this topic looks like.
func (m *message) shape() string {
	if m.names.Sensor != "" {
		return "a number or an object"
	}
	return "an object; bare numbers only on a topic that names the {sensor}"
}

// object reads the members of an object whose brace has been read. prefix goes
// before the names of its fields, depth counts the objects around it.
func (m *message) object(prefix string, depth int) error {
	for first := true; ; first = false {
		more, err := m.scan.more(first, '}')
		if err != nil || !more {
			return err
		}
		name, err := m.scan.name()
		if err != nil {
			return err
		}
		v, err := m.scan.value()
		if err != nil {
			return err
		}
		if depth == 0 {
			err = m.member(string(name), v)
		} else {
			err = m.nested(prefix+string(name), v, depth)
		}
		if err != nil {
			return err
		}
	}
}

// member takes a field of the message itself, where some names are special.
func (m *message) member(name string, v token) error {
	switch name {
	case fieldMachine:
		return m.name(&m.machine, name, v)
	case fieldWorkspace:
		return m.name(&m.workspace, name, v)
	case fieldTimestamp, fieldTime, fieldTS:
		return m.time(name, v)
	case fieldValues, fieldTags:
		if v.kind == kindObject {
			return m.object("", 1)
		}
	case fieldValue:
		if m.names.Sensor != "" {
			return m.nested(m.names.Sensor, v, 0)
		}
	}
	if m.names.Sensor != "" {
		name = m.names.Sensor + "." + name
	}
	return m.nested(name, v, 0)
}

// nested takes any other field: a value, a tag, or an object of them.
func (m *message) nested(name string, v token, depth int) error {
	switch v.kind {
	case kindObject:
		if depth+1 >= maxDepth {
			m.fail(reasonNested, name, "an object", fmt.Sprintf("a value: at most %d names deep", maxDepth))
			return m.past(v)
		}
		return m.object(name+".", depth+1)
	case kindArray:
		m.fail(reasonArray, name, "an array", "a number, text, true, false, null or an object of them")
		return m.past(v)
	default:
		m.field(name, v)
		return nil
	}
}

// field takes one value or tag.
func (m *message) field(name string, v token) {
	if m.bad != nil || v.kind == kindMissing || !m.usable(name) {
		return
	}
	if v.kind == kindText {
		m.tag(name, string(v.text))
		return
	}
	number := 0.0
	switch v.kind {
	case kindTrue:
		number = 1
	case kindNumber:
		var err error
		if number, err = strconv.ParseFloat(string(v.text), 64); err != nil {
			m.fail(reasonNumber, name, string(v.text), "a number that fits 64 bits of floating point")
			return
		}
	}
	m.values = append(m.values, fettle.Value{Sensor: name, Value: number})
}

func (m *message) tag(name, text string) {
	if len(text) > fettle.MaxTag {
		m.fail(reasonTag, name, fmt.Sprintf("text of %d bytes", len(text)), fmt.Sprintf("at most %d", fettle.MaxTag))
		return
	}
	if m.tags == nil {
		m.tags = map[string]string{}
	}
	m.tags[name] = text
	if len(m.tags) > fettle.MaxTags {
		m.fail(reasonTags, "", fmt.Sprintf("one with more than %d text fields", fettle.MaxTags),
			fmt.Sprintf("at most %d", fettle.MaxTags))
	}
}

// usable judges the name of a sensor or tag.
func (m *message) usable(name string) bool {
	if expected := sensorName(name); expected != "" {
		m.fail(reasonName, "sensor", strconv.Quote(name), expected)
	}
	return m.bad == nil
}

// sensorName says what a sensor's or tag's name should be instead; nothing if
// it is right.
func sensorName(name string) (expected string) {
	switch {
	case reserved(name):
		return "another name: this one has a meaning of its own in a message"
	case name == "" || len(name) > fettle.MaxName || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Sprintf("1 to %d bytes without control characters", fettle.MaxName)
	}
	return ""
}

func reserved(name string) bool {
	return name == fieldMachine || name == fieldWorkspace || slices.Contains(timeFields[:], name)
}

// name takes the machine's name. Senders that number their machines may write
// the number.
func (m *message) name(into *string, field string, v token) error {
	switch v.kind {
	case kindText, kindNumber:
		*into = string(v.text)
		return nil
	case kindMissing:
		*into = ""
		return nil
	default:
		m.fail(reasonMachine, field, "not text", "the machine's name")
		return m.past(v)
	}
}

// time keeps a time for later: which of them counts is known at the end.
func (m *message) time(field string, v token) error {
	i := slices.Index(timeFields[:], field)
	m.times[i], m.timed[i] = v, v.kind != kindMissing
	return m.past(v)
}

// past reads over the rest of a value that is of no use.
func (m *message) past(v token) error {
	if v.kind == kindObject || v.kind == kindArray {
		return m.scan.skip(v.kind, 0)
	}
	return nil
}

// reading judges the message as a whole.
func (m *message) reading() fettle.Reading {
	if m.bad != nil {
		return fettle.Reading{}
	}
	row := fettle.Reading{Machine: m.whose(), Time: m.when(), Values: fettle.SortValues(m.values)}
	maps.DeleteFunc(m.tags, func(name, _ string) bool {
		_, isSensor := row.Value(name)
		return isSensor
	})
	if len(m.tags) > 0 {
		row.Tags = m.tags
	}
	switch n := len(row.Values); {
	case n == 0:
		m.fail(reasonEmpty, "", "without a number", `at least one numeric field, such as "current": 17.2`)
	case n > fettle.MaxSensors:
		m.fail(reasonSensors, "", fmt.Sprintf("one with %d numeric fields", n), fmt.Sprintf("at most %d", fettle.MaxSensors))
	}
	return row
}

// whose finds the machine's name, from the message or its topic.
func (m *message) whose() string {
	name, field := m.machine, fieldMachine
	if name == "" {
		name, field = m.workspace, fieldWorkspace
	} else if m.workspace != "" && m.workspace != name {
		m.fail(reasonDisagree, fieldWorkspace, strconv.Quote(m.workspace), strconv.Quote(name)+" as in machine, or one of the two")
	}
	switch topic := m.names.Machine; {
	case name == "" && topic == "":
		m.fail(reasonMachine, fieldMachine, "missing",
			`"machine" or "workspace_id" in the message, or a topic that names it, such as fettle/press-3/readings`)
	case name == "":
		name = topic
	case topic != "" && topic != name:
		m.fail(reasonDisagree, field, strconv.Quote(name), strconv.Quote(topic)+" as in the topic, or no name")
	}
	if expected := machineName(name); expected != "" {
		m.fail(reasonName, fieldMachine, strconv.Quote(name), expected)
	}
	return name
}

// machineName says what a machine's name should be instead; nothing if it is
// right. Whether there is one at all is seen elsewhere.
func machineName(name string) (expected string) {
	if len(name) > fettle.MaxName || strings.ContainsFunc(name, unfitForMachine) || name == "." || name == ".." {
		return fmt.Sprintf(`1 to %d bytes without / \ + # and control characters, and neither . nor ..`, fettle.MaxName)
	}
	return ""
}

// unfitForMachine tells which characters a machine's name may not hold: it is
// part of topics, of paths in the API and of folder names.
func unfitForMachine(r rune) bool {
	return unicode.IsControl(r) || strings.ContainsRune(`/\+#`, r)
}

// when finds the event time; zero if the message has none.
func (m *message) when() time.Time {
	for i, field := range timeFields {
		if !m.timed[i] {
			continue
		}
		text := "neither text nor a number"
		if v := m.times[i]; v.kind == kindText || v.kind == kindNumber {
			text = string(v.text)
		}
		t, expected := parseTime(text)
		if expected == "" {
			return t
		}
		m.fail(reasonTime, field, cmp.Or(text, "empty"), expected)
		break
	}
	return time.Time{}
}

// fail remembers a fault of a field, or with "" of the message; the first one
// counts.
func (m *message) fail(reason, field, value, expected string) {
	if m.bad != nil {
		return
	}
	where := m.place
	if where != "" && field != "" {
		where += "."
	}
	if where += field; where == "" {
		where = "message"
	}
	m.bad = fettle.BadField(reason, where, value, expected)
}
