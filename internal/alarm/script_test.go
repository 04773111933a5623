package alarm

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fettle"
)

// The scripts in testdata say how alarms behave over time. A line is a thing
// that happens and, after ->, the alarm changes that must be told for it, in
// order; none, if there is no arrow.
//
//	0.4                          a row with this score
//	1.3 vib=70 temp=30           one with causes, shares in per cent
//	x5 1.3 vib=100               five of them
//	learning                     a row judged while learning
//	ack vib by anna: on my way   an answer; to the newest alarm of that cause
//	accept vib by anna: new oil  what it tells of is normal now
//	restart                      a stop and a start
//	step 10s                     from now on the time between rows; 2 s at first
//	limits 1.5 3 1.2             raise above, high above, clear below; 1, 2 and 0.9 at first
//
//	raised vib medium, raised vib high, high vib, acknowledged vib,
//	updated vib, cleared vib, accepted vib
//
// Every script is run twice: as it stands, and with a restart after every line.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.alarm")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("found %d scripts, err %v", len(scripts), err)
	}
	for _, script := range scripts {
		for _, restarts := range []bool{false, true} {
			name := strings.TrimSuffix(filepath.Base(script), ".alarm")
			if restarts {
				name += ", restarted all the time"
			}
			t.Run(name, func(t *testing.T) {
				r := &runner{room: newRoom(t), step: 2 * time.Second, limits: DefaultLimits(), now: start}
				r.run(script, restarts)
			})
		}
	}
}

type runner struct {
	*room
	step   time.Duration
	limits Limits
	now    time.Time
	last   map[uint64]fettle.Alarm // as last told
}

func (r *runner) run(script string, restarts bool) {
	file, err := os.Open(script)
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	r.last = map[uint64]fettle.Alarm{}
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		what, want, _ := strings.Cut(line, "->")
		if err := r.play(strings.TrimSpace(what)); err != nil {
			r.t.Fatalf("%s:%d: %v", script, number, err)
		}
		if got := r.told(); got != strings.TrimSpace(want) {
			r.t.Errorf("%s:%d: %s\n\ttold     %s\n\texpected %s", script, number, what, got, strings.TrimSpace(want))
		}
		if restarts {
			r.reopen()
		}
	}
	if err := lines.Err(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *runner) play(what string) error {
	first, rest, _ := strings.Cut(what, " ")
	switch first {
	case "restart":
		r.reopen()
		return nil
	case "step":
		var err error
		r.step, err = time.ParseDuration(rest)
		return err
	case "limits":
		_, err := fmt.Sscan(rest, &r.limits.RaiseAbove, &r.limits.HighAbove, &r.limits.ClearBelow)
		return err
	case "ack":
		return r.answer(rest, r.Acknowledge)
	case "accept":
		return r.answer(rest, r.Accept)
	default:
		return r.rows(what)
	}
}

func (r *runner) answer(what string, say func(id uint64, by, note string) (fettle.Alarm, error)) error {
	cause, what, _ := strings.Cut(what, " by ")
	by, note, _ := strings.Cut(what, ": ")
	for _, a := range r.List(Filter{}) {
		if a.Cause == cause {
			_, err := say(a.ID, by, note)
			return err
		}
	}
	return fmt.Errorf("no alarm of %s", cause)
}

func (r *runner) rows(what string) error {
	fields := strings.Fields(what)
	times := 1
	if n, found := strings.CutPrefix(fields[0], "x"); found {
		var err error
		if times, err = strconv.Atoi(n); err != nil {
			return err
		}
		fields = fields[1:]
	}
	v := fettle.Verdict{Machine: "m", Learning: fields[0] == "learning"}
	if !v.Learning {
		var err error
		if v.Score, err = strconv.ParseFloat(fields[0], 64); err != nil {
			return err
		}
	}
	for _, field := range fields[1:] {
		sensor, share, _ := strings.Cut(field, "=")
		percent, err := strconv.ParseFloat(share, 64)
		if err != nil {
			return err
		}
		v.Causes = append(v.Causes, fettle.Cause{Sensor: sensor, Share: percent / 100})
	}
	r.SetLimits(r.limits)
	for range times {
		v.Time = r.now
		r.now = r.now.Add(r.step)
		if err := r.Apply("m", []fettle.Verdict{v}, words); err != nil {
			return err
		}
	}
	return nil
}

// told writes down what changed since it was last asked.
func (r *runner) told() string {
	var lines []string
	for _, a := range r.changes {
		before, known := r.last[a.ID]
		switch {
		case !known:
			lines = append(lines, fmt.Sprintf("raised %s %s", a.Cause, a.Priority))
		case a.AcceptedBy != "" && before.AcceptedBy == "":
			lines = append(lines, "accepted "+a.Cause)
		case a.State == fettle.Cleared && before.State != fettle.Cleared:
			lines = append(lines, "cleared "+a.Cause)
		case !a.Unanswered() && before.Unanswered():
			lines = append(lines, "acknowledged "+a.Cause)
		case a.Priority != before.Priority:
			lines = append(lines, fmt.Sprintf("%s %s", a.Priority, a.Cause))
		default:
			lines = append(lines, "updated "+a.Cause)
		}
		r.last[a.ID] = a
	}
	r.changes = nil
	return strings.Join(lines, ", ")
}

// words is a sentence that shows what it was made from.
func words(v fettle.Verdict) string {
	var sensors []string
	for _, c := range v.Causes {
		sensors = append(sensors, c.Sensor)
	}
	slices.Sort(sensors)
	return fmt.Sprintf("%.1f by %s", v.Score, strings.Join(sensors, " "))
}
