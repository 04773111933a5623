package codec

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"fettle"
)

// # Line protocol
//
// One line of InfluxDB's line protocol is one reading:
//
//	sensor_data,workspace_id=lathe-1,sensor_type=industrial current=17.2,on=t,n=3i,note="late" 1764044400000000000
//
// Numbers of all kinds and booleans are values, text is a tag, and so are the
// tags of the line, but for the one that names the machine. What does not parse
// is refused in the words of InfluxDB 2.7, because whoever reads them looks
// them up there; what parses and is no reading, in ours.

// A Shape says where in a point the machine and its sensors are.
type Shape struct {
	MachineTags []string // names the machine: the first of these tags that the point has
	Plain       []string // measurements whose fields are sensors by their own names; "*": all. Fields of others are measurement.field
}

// OldShape is that of the old system's bridge, and of fettle's own lines.
func OldShape() Shape {
	return Shape{MachineTags: []string{fieldWorkspace, fieldMachine}, Plain: []string{OldMeasurement}}
}

// OldMeasurement is what the old system's bridge wrote readings under.
const OldMeasurement = "sensor_data"

func (s Shape) isPlain(measurement string) bool {
	return slices.Contains(s.Plain, measurement) || slices.Contains(s.Plain, "*")
}

// A Precision is the unit of a line's timestamp.
type Precision time.Duration

// ParsePrecision reads the precision of a write: ns, us, ms or s, and what
// InfluxDB 1 also took; "" is ns.
func ParsePrecision(text string) (Precision, bool) {
	units := map[string]time.Duration{
		"": 1, "ns": 1, "n": 1, "us": time.Microsecond, "u": time.Microsecond, "µ": time.Microsecond,
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
	}
	unit, known := units[text]
	return Precision(unit), known
}

// A LineError is why a line was refused. Its text is InfluxDB's.
type LineError struct {
	Line int    // counted from 1
	Text string // the line, shortened
	Why  *fettle.Error
}

func (e *LineError) Error() string { return fmt.Sprintf("unable to parse '%s': %v", e.Text, e.Why) }

// Unwrap lets the kind and the reason of Why stand for the whole.
func (e *LineError) Unwrap() error { return e.Why }

// Bounds of what a lineDecoder remembers of the lines before.
const (
	knownSeries = 10_000 // forgotten all at once beyond
	knownNames  = fettle.MaxSensors
	slab        = 4096 // values of one piece of memory
)

// A lineDecoder turns lines into readings. Lines of one sender repeat their
// measurement and tags, and their fields' names: it remembers what these mean.
type lineDecoder struct {
	shape   Shape
	unit    Precision
	arrival time.Time

	series map[string]*series // by the line's text before its fields
	names  map[string]string  // names of fields, once each
	key    []byte             // scratch
	values []fettle.Value     // memory for readings to come
}

// A series is what measurement and tags say.
type series struct {
	machine string
	tags    map[string]string
	prefix  string // before the names of its fields
}

// decode reads one line that is neither empty nor a comment.
func (d *lineDecoder) decode(line []byte) (fettle.Reading, *fettle.Error) {
	head, rest, bad := cutSeries(line)
	if bad != nil {
		return fettle.Reading{}, bad
	}
	s, bad := d.seriesOf(head)
	if bad != nil {
		return fettle.Reading{}, bad
	}
	row := fettle.Reading{Machine: s.machine, Tags: s.tags}
	if rest, bad = d.fields(&row, s, rest); bad != nil {
		return fettle.Reading{}, bad
	}
	if row.Time, bad = d.time(rest); bad != nil {
		return fettle.Reading{}, bad
	}
	return row, nil
}

// seriesOf finds what measurement and tags mean.
func (d *lineDecoder) seriesOf(head []byte) (*series, *fettle.Error) {
	if known := d.series[string(head)]; known != nil {
		return known, nil
	}
	if !utf8.Valid(head) {
		return nil, fettle.BadField(reasonEncoding, "line", "not UTF-8", "line protocol in UTF-8")
	}
	s, bad := d.shape.series(head)
	if bad != nil {
		return nil, bad
	}
	if len(d.series) >= knownSeries {
		clear(d.series)
	}
	d.series[string(head)] = s
	return s, nil
}

// series takes measurement and tags apart.
func (s Shape) series(head []byte) (*series, *fettle.Error) {
	measurement, tags, bad := splitHead(head)
	if bad != nil {
		return nil, bad
	}
	found := &series{}
	if !s.isPlain(measurement) {
		found.prefix = measurement + "."
	}
	for _, name := range s.MachineTags {
		if found.machine = tags[name]; found.machine != "" {
			delete(tags, name)
			break
		}
	}
	if found.machine == "" {
		return nil, fettle.BadField(reasonMachine, "tag", "missing", fmt.Sprintf("one of %q, which name the machine (ingest.line_machine_tags)", s.MachineTags))
	}
	if expected := machineName(found.machine); expected != "" {
		return nil, fettle.BadField(reasonName, "machine", strconv.Quote(found.machine), expected)
	}
	for name, text := range tags {
		if bad := checkTag(name, text); bad != nil {
			return nil, bad
		}
	}
	if len(tags) > fettle.MaxTags {
		return nil, fettle.BadField(reasonTags, "line", fmt.Sprintf("one with %d tags", len(tags)), fmt.Sprintf("at most %d", fettle.MaxTags))
	}
	if len(tags) > 0 {
		found.tags = tags
	}
	return found, nil
}

func checkTag(name, text string) *fettle.Error {
	if expected := sensorName(name); expected != "" {
		return fettle.BadField(reasonName, "tag", strconv.Quote(name), expected)
	}
	if len(text) > fettle.MaxTag {
		return fettle.BadField(reasonTag, name, fmt.Sprintf("text of %d bytes", len(text)), fmt.Sprintf("at most %d", fettle.MaxTag))
	}
	return nil
}

// fields reads the fields that text begins with into row, and returns what is
// behind them.
func (d *lineDecoder) fields(row *fettle.Reading, s *series, text []byte) (rest []byte, bad *fettle.Error) {
	if len(d.values)+usualSensors > cap(d.values) {
		d.values = make([]fettle.Value, 0, slab)
	}
	start := len(d.values)
	var texts map[string]string
	for more := true; more; {
		var f field
		if f, text, more, bad = nextField(text); bad != nil {
			return nil, bad
		}
		name, bad := d.name(s, f.key)
		switch {
		case bad != nil:
			return nil, bad
		case !f.isText:
			d.values = append(d.values, fettle.Value{Sensor: name, Value: f.number})
			continue
		case texts == nil:
			texts = map[string]string{}
		}
		if texts[name] = f.text; len(f.text) > fettle.MaxTag || len(texts) > fettle.MaxTags {
			return nil, fettle.BadField(reasonTag, name, fmt.Sprintf("text of %d bytes, number %d", len(f.text), len(texts)),
				fmt.Sprintf("at most %d bytes, in at most %d fields", fettle.MaxTag, fettle.MaxTags))
		}
	}
	values := fettle.SortValues(d.values[start:])
	d.values = d.values[:start+len(values)]
	if row.Values = slices.Clip(values); len(values) == 0 || len(values) > fettle.MaxSensors {
		return nil, fettle.BadField(reasonEmpty, "line", fmt.Sprintf("one with %d numeric fields", len(values)), fmt.Sprintf("1 to %d", fettle.MaxSensors))
	}
	row.Tags, bad = tagsOf(*row, texts)
	return text, bad
}

// tagsOf joins the tags of a row's series with its texts. A number goes before
// text of its name. The tags of the series are shared, and stay as they are.
func tagsOf(row fettle.Reading, texts map[string]string) (map[string]string, *fettle.Error) {
	isSensor := func(name, _ string) bool {
		_, found := row.Value(name)
		return found
	}
	own := len(texts) == 0
	for name := range row.Tags {
		own = own && !isSensor(name, "")
	}
	if own {
		return row.Tags, nil
	}
	tags := maps.Clone(row.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, texts)
	maps.DeleteFunc(tags, isSensor)
	if len(tags) > fettle.MaxTags {
		return nil, fettle.BadField(reasonTags, "line", fmt.Sprintf("one with %d tags and texts", len(tags)), fmt.Sprintf("at most %d", fettle.MaxTags))
	}
	if len(tags) == 0 {
		return nil, nil
	}
	return tags, nil
}

// name is the sensor that a field is.
func (d *lineDecoder) name(s *series, key []byte) (string, *fettle.Error) {
	d.key = append(append(d.key[:0], s.prefix...), key...)
	if known, found := d.names[string(d.key)]; found {
		return known, nil
	}
	name := string(d.key)
	if !utf8.ValidString(name) {
		return "", fettle.BadField(reasonEncoding, "field", "not UTF-8", "line protocol in UTF-8")
	}
	if expected := sensorName(name); expected != "" {
		return "", fettle.BadField(reasonName, "field", strconv.Quote(name), expected)
	}
	if len(d.names) >= knownNames {
		clear(d.names)
	}
	d.names[name] = name
	return name, nil
}

// time reads what is behind the fields: a timestamp, or nothing, which is the
// arrival.
func (d *lineDecoder) time(text []byte) (time.Time, *fettle.Error) {
	text = trimSpaces(text)
	if len(text) == 0 {
		return d.arrival, nil
	}
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9', c == '-' && i == 0:
		case c == ' ':
			return time.Time{}, words("point is invalid")
		default:
			return time.Time{}, words("bad timestamp")
		}
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	var micros int64
	if unit := int64(d.unit); unit < int64(time.Microsecond) {
		micros = n / (int64(time.Microsecond) / unit)
	} else if perUnit := unit / int64(time.Microsecond); n <= math.MaxInt64/perUnit {
		micros = n * perUnit
	} else {
		err = strconv.ErrRange
	}
	if err != nil || n < 0 || micros >= latestMicros {
		return time.Time{}, fettle.BadField(reasonTime, "timestamp", string(text), "a time from 1970 to 2261 in the precision of the write")
	}
	return time.UnixMicro(micros).UTC(), nil
}
