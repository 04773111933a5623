//go:build peers

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/codec"
	"fettle/internal/influx"
	"fettle/internal/process"
)

func serve(t *testing.T, binary, folder string) *process.Server {
	t.Helper()
	server, err := process.Start(t.Context(), binary, folder)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// writeKey makes a key that may write and no more.
func writeKey(t *testing.T, server *process.Server) string {
	t.Helper()
	created, err := server.Command(t.Context(), "key", "create", "writer", "--scopes", "write", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var key struct{ Key string }
	if err := json.Unmarshal([]byte(created), &key); err != nil || key.Key == "" {
		t.Fatal(err, created)
	}
	return key.Key
}

func newInfluxd(t *testing.T, bucket string) *process.Influxd {
	t.Helper()
	next, err := process.NewInfluxd(t.Context(), "../../scripts/peers/influxd.sh", t.TempDir(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.Kill)
	return next
}

func python(t *testing.T, into any, with, script string, args ...string) {
	t.Helper()
	cmd := exec.Command("../../scripts/peers/"+with, append([]string{"testdata/peers/" + script}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", script, err, out, stderr.String())
	}
}

// inInflux is what the old queries find.
type inInflux struct {
	Machines  map[string]reckoning
	Anomalies []map[string]any
	Retention map[string]int
}

func oldQueries(t *testing.T, next *process.Influxd, bucket, anomalies string) (found inInflux) {
	t.Helper()
	python(t, &found, "influxdb-client.sh", "influx_read.py", next.URL, next.Org, next.Token, bucket, anomalies)
	return found
}

// senders make readings of three machines, some of them with a jump that the old
// rule finds, as the machines of the old system.
type senders struct {
	names []string
	at    time.Time
	rows  int // of each machine, so far
	tick  int
}

func newSenders(t *testing.T, begin time.Time) *senders {
	t.Helper()
	return &senders{names: []string{"cnc-mill-5-axis", "lathe-1-spindle", "robot arm, 02"}, at: begin.UTC().Truncate(time.Second)}
}

// next are the readings of the next ticks, two seconds apart.
func (s *senders) next(ticks int) (rows []fettle.Reading) {
	for range ticks {
		for n, name := range s.names {
			wave := math.Sin(float64(s.tick)/9 + float64(n))
			current := 12 + wave
			if s.tick%97 < 6 {
				current += 6
			}
			rows = append(rows, fettle.Reading{Machine: name, Time: s.at.Add(time.Duration(n) * 7 * time.Microsecond), Values: []fettle.Value{
				{Sensor: "accX", Value: math.Round(1e4*wave) / 1e4}, {Sensor: "current", Value: current}, {Sensor: "tempA", Value: 60 + 5*wave}}})
		}
		s.at, s.tick, s.rows = s.at.Add(2*time.Second), s.tick+1, s.rows+1
	}
	return rows
}

func (s *senders) jump(to time.Time) { s.at = to.UTC().Truncate(time.Second) }

// late makes readings between those that were sent last.
func (s *senders) late(t *testing.T, n int, send func([]fettle.Reading)) {
	t.Helper()
	rows := s.next(n)
	for i := range rows {
		rows[i].Time = rows[i].Time.Add(-time.Duration(n)*2*time.Second - time.Second)
	}
	s.at = s.at.Add(-time.Duration(n) * 2 * time.Second)
	send(rows)
}

// write sends readings to fettle, one in ten of them late and some in two parts.
func (s *senders) write(t *testing.T, server *process.Server, ticks int) {
	t.Helper()
	post := func(rows []fettle.Reading) {
		var body []byte
		for _, r := range rows {
			body = codec.AppendLine(body, r)
		}
		response, err := http.Post("http://"+server.HTTP+"/api/v2/write?precision=us", "text/plain", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			t.Fatal(response.Status)
		}
	}
	var held []fettle.Reading
	for rows := range slices.Chunk(s.next(ticks), 3*50) {
		var now []fettle.Reading
		for i, r := range rows {
			switch {
			case i%10 == 9:
				held = append(held, r)
			case i%10 == 8: // one sensor later
				part := r
				part.Values, r.Values = r.Values[1:], r.Values[:1]
				held = append(held, part)
				now = append(now, r)
			default:
				now = append(now, r)
			}
		}
		post(now)
	}
	post(held)
}

// caughtUp waits until InfluxDB has all readings and anomaly records that fettle
// has; no bucket: the anomaly records only.
func caughtUp(t *testing.T, server *process.Server, next *process.Influxd, bucket string, plant *senders) {
	t.Helper()
	settled(t, server)
	client, err := influx.NewClient(influx.Target{URL: next.URL, Org: next.Org, Token: next.Token})
	if err != nil {
		t.Fatal(err)
	}
	var got, want int
	err = process.WaitFor(t.Context(), "InfluxDB to have all", func() (bool, error) {
		got, want = 0, 0
		if bucket != "" {
			got, want = valuesIn(t, client, bucket, "sensor_data"), 3*plant.rows*len(plant.names)
		}
		for _, name := range plant.names {
			for _, a := range anomaliesOf(t, server, name) {
				want += 1 + 2*len(a.Sensors) + 2*len(a.Affected)
			}
		}
		got += valuesIn(t, client, "Anomalies", "anomaly_detections")
		return got == want, nil
	})
	if err != nil {
		t.Fatalf("%v: %d values, want %d\n%s", err, got, want, server.Log())
	}
}

// valuesIn counts the numbers in a bucket; none if there is no such bucket yet.
func valuesIn(t *testing.T, client *influx.Client, bucket, measurement string) (n int) {
	t.Helper()
	answer, err := client.Query(t.Context(), fmt.Sprintf(`from(bucket: %s) |> range(start: -90d, stop: 1h) |> filter(fn: (r) => r._measurement == %s)
		|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")`, influx.Quote(bucket), influx.Quote(measurement)))
	if err != nil {
		return 0
	}
	defer answer.Close()
	rows := influx.NewRows(answer, "workspace_id")
	for {
		row, err := rows.Next()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n += len(row.Values)
	}
}

func anomaliesOf(t *testing.T, server *process.Server, machine string) []fettle.Anomaly {
	t.Helper()
	var list struct{ Anomalies []fettle.Anomaly }
	if err := server.Get(t.Context(), "/api/v1/machines/"+url.PathEscape(machine)+"/anomalies?last=1000", &list); err != nil {
		t.Fatal(err)
	}
	return list.Anomalies
}

// settled waits until every machine is judged to its end.
func settled(t *testing.T, server *process.Server) {
	t.Helper()
	waitForPart(t, server, "verdict", func(p api.Part) bool { return strings.Contains(p.Detail, " 0 behind") })
}

func waitForPart(t *testing.T, server *process.Server, name string, holds func(api.Part) bool) {
	t.Helper()
	var seen api.Part
	err := process.WaitFor(t.Context(), name, func() (bool, error) {
		var s api.Status
		if err := server.Get(t.Context(), "/api/v1/status", &s); err != nil {
			return false, err
		}
		for _, seen = range s.Parts {
			if seen.Name == name {
				return holds(seen), nil
			}
		}
		return false, fmt.Errorf("no part %s", name)
	})
	if err != nil {
		t.Fatalf("%v: %+v\n%s", err, seen, server.Log())
	}
}

func storedRows(t *testing.T, server *process.Server, machine string) int {
	t.Helper()
	var list struct {
		Machines []fettle.Machine
	}
	if err := server.Get(context.Background(), "/api/v1/machines", &list); err != nil {
		t.Fatal(err)
	}
	for _, m := range list.Machines {
		if m.Name == machine {
			return int(m.Rows)
		}
	}
	return 0
}

// sameAnomalies compares the records in InfluxDB with fettle's own, field by
// field.
func sameAnomalies(t *testing.T, server *process.Server, machines []string, found []map[string]any) (total int) {
	t.Helper()
	there := map[string]map[string]any{}
	for _, record := range found {
		there[fmt.Sprintf("%s %.0f", record["workspace_id"], record["time"])] = record
	}
	if len(there) != len(found) {
		t.Errorf("%d anomaly records in InfluxDB, of %d times", len(found), len(there))
	}
	for _, machine := range machines {
		for _, a := range anomaliesOf(t, server, machine) {
			total++
			want := map[string]any{
				"time": float64(a.Time.UnixMicro()), "workspace_id": machine, "anomaly_type": a.Type, "severity_level": a.Severity,
				"severity_score": a.Score, "alert_message": a.Message, "affected_features": strings.Join(a.Affected, ","),
			}
			for _, s := range a.Sensors {
				want["actual_"+s.Sensor], want["predicted_"+s.Sensor] = s.Actual, s.Predicted
				if s.AtRisk {
					want["deviation_"+s.Sensor], want["deviation_pct_"+s.Sensor] = s.Deviation, s.DeviationPercent
				}
			}
			got := there[fmt.Sprintf("%s %d", machine, a.Time.UnixMicro())]
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("anomaly in InfluxDB\n%v\nwant\n%v", got, want)
			}
		}
	}
	if total != len(found) {
		t.Errorf("fettle has %d anomaly records, InfluxDB %d", total, len(found))
	}
	return total
}
