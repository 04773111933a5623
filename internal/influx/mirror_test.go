package influx

import (
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
)

// mirror makes a mirror that does not rest.
func (h *home) mirror(s *standIn, change ...func(*MirrorConfig)) *Mirror {
	h.t.Helper()
	cfg := MirrorConfig{Target: s.target(), Bucket: "b", Now: time.Now}
	for _, c := range change {
		c(&cfg)
	}
	m, err := NewMirror(cfg, h.db, h.rows, h.anomalies, quiet())
	if err != nil {
		h.t.Fatal(err)
	}
	m.look, m.try = time.Millisecond, time.Millisecond
	return m
}

func (h *home) anomalies(machine string, after time.Time, n int) ([]fettle.Anomaly, error) {
	if machine != "m" || !at(5).After(after) {
		return nil, nil
	}
	return []fettle.Anomaly{{
		Machine: "m", Time: at(5), Type: "x", Severity: "high", Score: 0.75, Message: `Machine at Risk: Stay alert on "x"`, Affected: []string{"x", "y"},
		Sensors: []fettle.AnomalySensor{{Sensor: "x", Actual: 3, Predicted: 2, AtRisk: true, Deviation: 1, DeviationPercent: 50}, {Sensor: "z", Actual: 1, Predicted: 1}},
	}}, nil
}

// taken are the lines of writes into a bucket that were not refused.
func (s *standIn) taken(bucket string) (lines []string) {
	for _, asked := range s.requests() {
		if first, body, _ := strings.Cut(asked, "\n"); first == "POST /api/v2/write?bucket="+bucket+"&org=o&precision=us" && s.refuse(asked) == "" {
			lines = append(lines, shown(body)...)
		}
	}
	return lines
}

// Rows go out in the order of their machines' time, late ones when they come,
// each of them once, over restarts too.
func TestMirrorCarriesEachRowOnce(t *testing.T) {
	h, s := newHome(t), newStandIn(t)
	h.put("a", 1, "x", 1)
	h.put("b", 2, "x", 1)
	h.put("a", 3, "x", 2)
	m := h.mirror(s)
	has := func(n int) func() bool {
		return func() bool { return m.Stats().Rows >= int64(n) && m.Stats().Since.IsZero() }
	}
	while(t, m.Run, "three rows", has(3))

	h.reopen()
	m = h.mirror(s)
	h.put("a", 2, "x", 9) // late
	h.put("b", 2, "y", 7) // to a row that has gone out
	h.put("a", 4, "x", 3)
	h.put("new", 1, "x", 1)
	while(t, m.Run, "four more", has(4))
	if late, err := h.rows.LateRows(10); err != nil || len(late) > 0 {
		t.Errorf("notes are left: %v, %v", late, err)
	}
	want := []string{"a x=1 01", "a x=2 03", "b x=1 02", "a x=3 04", "new x=1 01", "a x=9 02", "b x=1,y=7 02"}
	if got := s.taken("b"); !slices.Equal(got, want) {
		t.Errorf("written %q, want %q", got, want)
	}
}

// A mirror that is switched off, or writes elsewhere, begins anew: nobody noted
// what came late meanwhile.
func TestMirrorElsewhereBeginsAnew(t *testing.T) {
	h, s := newHome(t), newStandIn(t)
	h.put("a", 1, "x", 1)
	m := h.mirror(s)
	one := func() bool { return m.Stats().Rows == 1 }
	while(t, m.Run, "a row", one)
	m = h.mirror(s, func(c *MirrorConfig) { c.Bucket = "other" })
	while(t, m.Run, "the row again", one)
	if err := NoMirror(h.db, h.rows); err != nil {
		t.Fatal(err)
	}
	m = h.mirror(s, func(c *MirrorConfig) { c.Bucket = "other" })
	while(t, m.Run, "the row once more", one)
	if len(s.taken("b")) != 1 || len(s.taken("other")) != 2 {
		t.Errorf("%q and %q", s.taken("b"), s.taken("other"))
	}
}

// Anomaly records have the old measurement, tags and fields.
func TestMirrorCarriesAnomalies(t *testing.T) {
	h, s := newHome(t), newStandIn(t)
	h.put("m", 1, "x", 1)
	m := h.mirror(s, func(c *MirrorConfig) { c.Bucket, c.Anomalies = "", "Anomalies" })
	while(t, m.Run, "the record", func() bool { return m.Stats().Anomalies == 1 })
	want := `anomaly_detections,workspace_id=m,anomaly_type=x,severity_level=high severity_score=0.75,alert_message="Machine at Risk: Stay alert on \"x\"",affected_features="x,y",` +
		`actual_x=3,predicted_x=2,deviation_x=1,deviation_pct_x=50,actual_z=1,predicted_z=1 05`
	if got := s.taken("Anomalies"); len(got) != 1 || got[0] != want {
		t.Errorf("written\n%q, want\n%q", got, want)
	}
	if m = h.mirror(s, func(c *MirrorConfig) { c.Bucket, c.Anomalies = "", "Anomalies" }); !m.records.at["m"].Equal(at(5)) {
		t.Error("a restart would write it again")
	}
}

// An InfluxDB that cannot now is asked again until it can, and told nothing
// twice that it took.
func TestMirrorTriesAgain(t *testing.T) {
	for _, refusal := range []string{"401 unauthorized access", "429 slow down", "500 oh", "503 later"} {
		h, s := newHome(t), newStandIn(t)
		h.put("a", 1, "x", 1)
		tries := 0
		s.refuse = func(asked string) string {
			if !strings.HasPrefix(asked, "POST /api/v2/write") {
				return "403 a token that may only write"
			}
			if tries++; tries <= 3 {
				return refusal
			}
			return ""
		}
		m := h.mirror(s)
		while(t, m.Run, "the row", func() bool { return m.Stats().Rows == 1 })
		if stats := m.Stats(); stats.Errors != 3 || stats.LastError != "" || stats.Refused != 0 || tries != 4 {
			t.Errorf("%s: %+v, %d writes", refusal, stats, tries)
		}
	}
}

func TestMirrorSaysWhatIsWrong(t *testing.T) {
	h, s := newHome(t), newStandIn(t)
	h.put("a", 1, "x", 1)
	m := h.mirror(s, func(c *MirrorConfig) { c.Token = "wrong" })
	while(t, m.Run, "an error", func() bool { return m.Stats().LastError != "" })
	stats := m.Stats()
	if stats.LastError != "write to bucket b: InfluxDB answered 401 Unauthorized: unauthorized access" || stats.Since.IsZero() || stats.Rows != 0 {
		t.Errorf("%+v", stats)
	}
	s.Close()
	m = h.mirror(s)
	while(t, m.Run, "an error", func() bool { return m.Stats().LastError != "" })
	if !strings.Contains(m.Stats().LastError, "reach InfluxDB") || strings.Contains(m.Stats().LastError, "secret") {
		t.Error(m.Stats().LastError)
	}
}

// A line that InfluxDB will never take is left out, the others around it go
// out, and nothing stands still.
func TestMirrorLeavesOutWhatIsRefused(t *testing.T) {
	for _, c := range []struct {
		refusal string
		refused int64
	}{
		{"400 unable to parse", 1}, {"413 points batch is too large", 1}, // by halves
		{"422 failure writing points to database: partial write: points beyond retention policy dropped=3", 3}, // InfluxDB took the rest
	} {
		h, s := newHome(t), newStandIn(t)
		for second := range 9 {
			h.put("a", second, "x", float64(second))
		}
		s.refuse = func(asked string) string {
			if strings.Contains(asked, "x=6") {
				return c.refusal
			}
			return ""
		}
		m := h.mirror(s)
		while(t, m.Run, "the rows", func() bool { return m.Stats().Rows == 9 })
		if stats := m.Stats(); stats.Refused != c.refused || stats.LastError != "" {
			t.Errorf("%s: %+v", c.refusal, stats)
		}
		if got := s.taken("b"); c.refused == 1 && len(got) != 8 {
			t.Errorf("%s: written %q", c.refusal, got)
		}
	}
}

// A bucket that is missing is made, with its retention; one that may not be made
// is what the status says.
func TestMirrorMakesItsBuckets(t *testing.T) {
	h, s := newHome(t), newStandIn(t)
	h.put("a", 1, "x", 1)
	made := false
	s.refuse = func(asked string) string {
		made = made || strings.HasPrefix(asked, "POST /api/v2/buckets")
		if !made && strings.HasPrefix(asked, "POST /api/v2/write") {
			return `404 bucket "b" not found`
		}
		return ""
	}
	m := h.mirror(s, func(c *MirrorConfig) { c.Retention = time.Hour })
	while(t, m.Run, "the row", func() bool { return m.Stats().Rows == 1 })
	want := "POST /api/v2/buckets?\n" + `{"name":"b","orgID":"0123","retentionRules":[{"everySeconds":3600,"type":"expire"}]}`
	if !slices.ContainsFunc(s.requests(), func(r string) bool { return strings.Replace(r, "buckets\n", "buckets?\n", 1) == want }) {
		t.Errorf("asked %q", s.requests())
	}

	h = newHome(t)
	h.put("a", 1, "x", 1)
	s.refuseWith(func(asked string) string {
		if strings.HasPrefix(asked, "POST /api/v2/write") {
			return `404 bucket "b" not found`
		}
		return "403 insufficient permissions"
	})
	m = h.mirror(s)
	while(t, m.Run, "an error", func() bool { return m.Stats().LastError != "" })
	if text := m.Stats().LastError; !strings.Contains(text, `bucket "b" not found`) || !strings.Contains(text, "insufficient permissions") {
		t.Error(text)
	}
}

// A machine with much behind it does not keep the others waiting.
func TestMirrorTakesTurns(t *testing.T) {
	h, s := newHome(t), newStandIn(t)
	var many []fettle.Reading
	for i := range 3 * batchRows {
		many = append(many, fettle.Reading{Machine: "a", Time: at(0).Add(time.Duration(i) * time.Microsecond), Values: []fettle.Value{{Sensor: "x", Value: 1}}})
	}
	if _, err := h.rows.Append(many); err != nil {
		t.Fatal(err)
	}
	h.put("b", 1, "x", 1)
	m := h.mirror(s)
	while(t, m.Run, "all", func() bool { return m.Stats().Rows == 3*batchRows+1 })
	if got := s.taken("b"); got[batchRows] != "b x=1 01" {
		t.Errorf("after the first %d rows comes %s", batchRows, got[batchRows])
	}
}
