package influx

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle"
)

// A Tally is what InfluxDB itself says of a sensor's numbers in a stretch of
// time. Booleans count as 0 and 1.
type Tally struct {
	Machine, Sensor string
	Count           int64
	Sum             float64
	Summed          bool // false: its values are not of one type all the time, so InfluxDB adds nothing up
	First, Last     time.Time
}

// maxSeries bounds the series of one survey.
const maxSeries = 100_000

// Survey asks what a bucket has of each sensor in [from, to), by machine and
// sensor. Fields of text are no sensors, and points without a machine are
// nobody's: both are left out.
func (b Bucket) Survey(ctx context.Context, c *Client, from, to time.Time) ([]Tally, error) {
	s := survey{bucket: b, tallies: map[[2]string]*Tally{}, types: map[string]string{}}
	points := b.points(from, to)
	for _, ask := range []struct {
		flux string
		note func(cells map[string]string, datatype string) error
	}{
		{points + " |> first()", s.noteFirst},
		{points + " |> last()", s.noteLast},
		{points + " |> count()", s.noteCount},
	} {
		if err := c.records(ctx, ask.flux, ask.note); err != nil {
			return nil, err
		}
	}
	for of, flux := range map[string]string{"number": " |> sum()", "boolean": " |> toFloat() |> sum()"} {
		if fields := s.fieldsOf(of); fields != "" {
			if err := c.records(ctx, points+" |> filter(fn: (r) => "+fields+")"+flux, s.noteSum); err != nil {
				return nil, err
			}
		}
	}
	var list []Tally
	for _, t := range s.tallies {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b Tally) int {
		return cmp.Or(strings.Compare(a.Machine, b.Machine), strings.Compare(a.Sensor, b.Sensor))
	})
	return list, nil
}

// A survey is one under way.
type survey struct {
	bucket  Bucket
	tallies map[[2]string]*Tally
	types   map[string]string // field -> number, boolean or mixed
}

// of is the tally that a record belongs to; nil: none.
func (s *survey) of(cells map[string]string) *Tally {
	return s.tallies[[2]string{cells[s.bucket.MachineTag], cells["_field"]}]
}

func (s *survey) noteFirst(cells map[string]string, datatype string) error {
	machine, field := cells[s.bucket.MachineTag], cells["_field"]
	at, err := time.Parse(time.RFC3339Nano, cells["_time"])
	if err != nil {
		return err
	}
	kind := "number"
	switch datatype {
	case "double", "long", "unsignedLong":
	case "boolean":
		kind = "boolean"
	default:
		kind = "mixed"
	}
	if before, known := s.types[field]; known && before != kind {
		kind = "mixed"
	}
	s.types[field] = kind
	if machine == "" || datatype == "string" {
		return nil
	}
	key := [2]string{machine, field}
	t := s.tallies[key]
	if t == nil {
		if len(s.tallies) == maxSeries {
			return fettle.Errorf(fettle.Invalid, "the bucket has more than %d sensors", maxSeries)
		}
		t = &Tally{Machine: machine, Sensor: field, First: at}
		s.tallies[key] = t
	}
	if at.Before(t.First) {
		t.First = at
	}
	return nil
}

func (s *survey) noteLast(cells map[string]string, _ string) error {
	at, err := time.Parse(time.RFC3339Nano, cells["_time"])
	if t := s.of(cells); err == nil && t != nil && at.After(t.Last) {
		t.Last = at
	}
	return err
}

func (s *survey) noteCount(cells map[string]string, _ string) error {
	n, err := strconv.ParseInt(cells["_value"], 10, 64)
	if t := s.of(cells); t != nil {
		t.Count += n
	}
	return err
}

func (s *survey) noteSum(cells map[string]string, _ string) error {
	sum, err := strconv.ParseFloat(cells["_value"], 64)
	if t := s.of(cells); t != nil {
		t.Sum, t.Summed = t.Sum+sum, true
	}
	return err
}

// fieldsOf writes the condition for the fields of a kind; "" if there are none.
func (s *survey) fieldsOf(kind string) string {
	var all []string
	for field, k := range s.types {
		if k == kind {
			all = append(all, "r._field == "+Quote(field))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " or ")
}

// records asks a query and yields its records: cells by column, and the type of
// the column _value, as InfluxDB names it.
func (c *Client) records(ctx context.Context, flux string, yield func(cells map[string]string, datatype string) error) (err error) {
	answer, err := c.Query(ctx, flux)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answer.Close()) }()
	return eachRecord(answer, yield)
}

// eachRecord yields the records of an answer in annotated CSV.
func eachRecord(answer io.Reader, yield func(cells map[string]string, datatype string) error) error {
	bounded := &boundedRecords{from: answer}
	table := csv.NewReader(bounded)
	table.FieldsPerRecord = -1
	var types, header []string
	for fresh := false; ; {
		bounded.read = 0
		cells, err := table.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read answer of InfluxDB: %w", err)
		}
		switch {
		case cells[0] == "#datatype":
			types, fresh = cells, true
		case strings.HasPrefix(cells[0], "#"):
		case fresh:
			header, fresh = cells, false
		case len(cells) != len(header) || len(types) != len(header):
			return fmt.Errorf("read answer of InfluxDB: a row of %d cells under a header of %d", len(cells), len(header))
		default:
			record, datatype := map[string]string{}, ""
			for i, name := range header {
				record[name] = cells[i]
				if name == "_value" {
					datatype = types[i]
				}
			}
			if said := record["error"]; said != "" && len(header) <= 3 {
				return fettle.Errorf(fettle.Unavailable, "InfluxDB broke off its answer: %s", fettle.Shorten(said))
			}
			if err := yield(record, datatype); err != nil {
				return fmt.Errorf("read answer of InfluxDB: %w", err)
			}
		}
	}
}

// Measurements lists those of a bucket, by name.
func (c *Client) Measurements(ctx context.Context, bucket string) (names []string, err error) {
	flux := fmt.Sprintf("import \"influxdata/influxdb/schema\"\nschema.measurements(bucket: %s, start: 1970-01-01T00:00:00Z)", Quote(bucket))
	err = c.records(ctx, flux, func(cells map[string]string, _ string) error {
		names = append(names, cells["_value"])
		return nil
	})
	slices.Sort(names)
	return names, err
}

// Orgs lists the organizations that the token sees.
func (c *Client) Orgs(ctx context.Context) ([]string, error) {
	var found struct {
		Orgs []struct{ Name string }
	}
	if err := c.ask(ctx, http.MethodGet, "/api/v2/orgs", nil, nil, &found); err != nil {
		return nil, fmt.Errorf("list organizations: %w", err)
	}
	names := []string{}
	for _, o := range found.Orgs {
		names = append(names, o.Name)
	}
	return names, nil
}

// Buckets lists the buckets of readings that the token sees.
func (c *Client) Buckets(ctx context.Context) ([]string, error) {
	var found struct {
		Buckets []struct{ Name, Type string }
	}
	if err := c.ask(ctx, http.MethodGet, "/api/v2/buckets", url.Values{"org": {c.target.Org}, "limit": {"100"}}, nil, &found); err != nil {
		return nil, fmt.Errorf("list buckets: %w", err)
	}
	names := []string{}
	for _, b := range found.Buckets {
		if b.Type != "system" {
			names = append(names, b.Name)
		}
	}
	return names, nil
}
