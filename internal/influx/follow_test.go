package influx

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fettle"
)

// A followerRig is what a follower needs: a clock to be set, and a gate that refuses
// what a test wants.
type followerRig struct {
	*home
	s      *standIn
	now    atomic.Int64 // seconds of at
	busy   atomic.Int64 // submits to come that are not taken
	handed atomic.Int64
}

func newFollowerRig(t *testing.T) *followerRig {
	return &followerRig{home: newHome(t), s: newStandIn(t)}
}

func (r *followerRig) follower() *Follower {
	r.t.Helper()
	f, err := NewFollower(FollowConfig{
		Target: r.s.target(), Bucket: "b", Measurement: "sensor_data", MachineTag: "workspace_id",
		Every: time.Millisecond, Lookback: 10 * time.Minute, Backfill: 3 * time.Hour,
		Now: func() time.Time { return at(int(r.now.Load())) },
	}, r.db, r.rows, r.submit, quiet())
	if err != nil {
		r.t.Fatal(err)
	}
	f.try = time.Millisecond
	return f
}

func (r *followerRig) submit(_ context.Context, rows []fettle.Reading) (int, error) {
	if r.busy.Add(-1) >= 0 {
		return 0, fettle.Errorf(fettle.Busy, "the queue is full")
	}
	r.handed.Add(int64(len(rows)))
	done, err := r.rows.Append(rows)
	return done.New + done.Merged, err
}

// says has the stand-in answer queries with readings of machine m.
func (r *followerRig) says(rows ...string) {
	answer := "#datatype,string,long,dateTime:RFC3339,string,double,double\n#group,false,false,false,true,false,false\n#default,_result,,,,,\n,result,table,_time,workspace_id,x,y\n"
	for _, row := range rows {
		var second int
		var values string
		_, _ = fmt.Sscan(row, &second, &values)
		answer += ",,0," + at(second).Format(time.RFC3339) + ",m," + values + "\n"
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.answer = answer
}

// stretches are those that were asked for, in minutes from at(0).
func (r *followerRig) stretches() (all []string) {
	span := regexp.MustCompile(`range\(start: (\S+), stop: (\S+)\)`)
	for _, asked := range r.s.requests() {
		if m := span.FindStringSubmatch(asked); m != nil {
			from, _ := time.Parse(time.RFC3339, m[1])
			to, _ := time.Parse(time.RFC3339, m[2])
			all = append(all, fmt.Sprintf("%v..%v", from.Sub(at(0)).Minutes(), to.Sub(at(0)).Minutes()))
		}
	}
	return all
}

// The first look reaches back as far as it should, in stretches; later ones go on
// from there with the look-back, after a restart too.
func TestFollowerAsksForStretches(t *testing.T) {
	r := newFollowerRig(t)
	r.says()
	f := r.follower()
	while(t, f.Run, "the back-fill", func() bool { return f.Stats().Until.Equal(at(0)) })
	if got := strings.Join(r.stretches()[:2], " "); got != "-180..-120 -120..0" {
		t.Errorf("asked for %s", got)
	}
	before := len(r.stretches())
	r.reopen()
	r.now.Store(60)
	f = r.follower()
	while(t, f.Run, "the next look", func() bool { return f.Stats().Until.Equal(at(60)) })
	// A look that the restart cut off may be heard of only now.
	after := slices.DeleteFunc(r.stretches()[before:], func(s string) bool { return s == "-10..0" })
	if len(after) == 0 || after[0] != "-10..1" {
		t.Errorf("asked for %s after a restart", after)
	}
	query := r.s.requests()[0]
	if want := `from(bucket: \"b\") |\u003e range(start: 2025-11-25T01:20:00Z, stop: 2025-11-25T02:20:00Z) |\u003e filter(fn: (r) =\u003e r._measurement == \"sensor_data\") |\u003e pivot(`; !strings.Contains(query, want) {
		t.Errorf("asked %s", query)
	}
}

// Only what is new goes to the gate: of a look-back that is nearly nothing.
func TestFollowerHandsInWhatIsNew(t *testing.T) {
	r := newFollowerRig(t)
	r.says("1 1,2", "2 1,2", "3 1,")
	f := r.follower()
	looked := func(n int64) func() bool {
		return func() bool { return r.handed.Load() >= n && f.Stats().LastError == "" && !f.Stats().LastOK.IsZero() }
	}
	while(t, f.Run, "three rows", looked(3))
	r.says("1 1,2", "2 1,3", "3 1,4", "4 1,1") // one changed, one has more, one is new
	f = r.follower()
	while(t, f.Run, "three more", looked(6))
	f = r.follower()
	while(t, f.Run, "another look", func() bool { return !f.Stats().LastOK.IsZero() })
	if r.handed.Load() != 6 || f.Stats().Rows != 0 {
		t.Errorf("%d rows were handed in", r.handed.Load())
	}
	rows, err := r.rows.Last("m", time.Time{}, 10)
	if err != nil || fmt.Sprint(rows[1].Values, rows[2].Values, len(rows)) != "[{x 1} {y 3}] [{x 1} {y 4}] 4" {
		t.Errorf("%v, %v", rows, err)
	}
}

// What the gate does not take, and what InfluxDB does not answer, is tried
// again; the cursor waits.
func TestFollowerTriesAgain(t *testing.T) {
	r := newFollowerRig(t)
	r.says("1 1,2")
	r.busy.Store(3)
	f := r.follower()
	while(t, f.Run, "the row", func() bool { return r.handed.Load() == 1 && f.Stats().Until.Equal(at(0)) && f.Stats().LastError == "" })
	if f.Stats().Errors != 3 {
		t.Errorf("%+v", f.Stats())
	}
	r.s.refuseWith(func(string) string { return "404 bucket \"b\" not found" })
	r.now.Store(60)
	while(t, f.Run, "an error", func() bool { return f.Stats().LastError != "" })
	if s := f.Stats(); s.LastError != `query: InfluxDB answered 404 Not Found: bucket "b" not found` || !s.Until.Equal(at(0)) || s.Lag(at(60)) != time.Minute {
		t.Errorf("%+v", s)
	}
}

// What the gate refuses for good is offered once, and again when it is corrected.
func TestFollowerOffersRefusedRowsOnce(t *testing.T) {
	r := newFollowerRig(t)
	r.says("1 1,2", "2 666,2", "3 1,4")
	f := r.follower()
	submit := f.submit
	f.submit = func(ctx context.Context, rows []fettle.Reading) (int, error) {
		good := slices.DeleteFunc(slices.Clone(rows), func(row fettle.Reading) bool { return row.Values[0].Value == 666 })
		n, err := submit(ctx, good)
		r.handed.Add(int64(len(rows) - len(good)))
		if err == nil && len(good) < len(rows) {
			err = fettle.Errorf(fettle.Invalid, "the number of the beast")
		}
		return n, err
	}
	looks := func(n int) func() bool {
		begin := len(r.s.requests())
		return func() bool { return len(r.s.requests()) > begin+n && f.Stats().LastError == "" }
	}
	while(t, f.Run, "some looks", looks(10))
	if s := f.Stats(); r.handed.Load() != 3 || s.Rows != 2 || s.Refused != 1 {
		t.Errorf("%d rows were handed in: %+v", r.handed.Load(), s)
	}
	r.says("2 667,2")
	while(t, f.Run, "some more", looks(10))
	if s := f.Stats(); r.handed.Load() != 4 || s.Rows != 3 || s.Refused != 1 {
		t.Errorf("%d rows were handed in: %+v", r.handed.Load(), s)
	}
}

// Another bucket is read from its beginning.
func TestFollowerOfAnotherBucket(t *testing.T) {
	r := newFollowerRig(t)
	r.says()
	f := r.follower()
	while(t, f.Run, "the back-fill", func() bool { return f.Stats().Until.Equal(at(0)) })
	cfg := f.cfg
	cfg.Bucket = "other"
	f, err := NewFollower(cfg, r.db, r.rows, r.submit, quiet())
	if err != nil || !f.Stats().Until.IsZero() {
		t.Errorf("%+v, %v", f.Stats(), err)
	}
}
