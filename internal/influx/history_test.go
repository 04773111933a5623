package influx

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"fettle"
)

// A bucket that was followed is mirrored into from where it was read up to: what
// came out of it does not go in again.
func TestMirrorIntoWhatWasFollowed(t *testing.T) {
	r := newFollowerRig(t)
	r.says("1 1,2", "2 1,2")
	f := r.follower()
	r.now.Store(10)
	while(t, f.Run, "two rows", func() bool { return f.Stats().Until.Equal(at(10)) })
	m := r.mirror(r.s)
	r.put("m", 11, "x", 3)
	r.put("n", 15, "x", 4) // unknown there
	while(t, m.Run, "two rows", func() bool { return m.Stats().Rows >= 2 && m.Stats().Since.IsZero() })
	if got := strings.Join(r.s.taken("b"), ", "); got != "m x=3 11, n x=4 15" {
		t.Errorf("wrote %s", got)
	}
}

// A history is moved stretch by stretch, and each is told of once it is stored;
// what cannot be taken just now is handed in again.
func TestMove(t *testing.T) {
	r := newFollowerRig(t)
	r.says("1 1,2", "2 1,2", "3 1,")
	client, err := NewClient(r.s.target())
	if err != nil {
		t.Fatal(err)
	}
	r.busy.Store(2)
	var stored, refused int64
	var until []time.Time
	move := Move{
		Bucket: Bucket{Name: "b", Measurement: "sensor_data", MachineTag: "workspace_id"}, Client: client, From: at(0), To: at(4 * 3600), Submit: r.submit, try: time.Millisecond,
		Moved: func(s, n int64, _ error, at time.Time) error {
			stored, refused, until = stored+s, refused+n, append(until, at)
			return nil
		},
	}
	if err := move.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Three stretches (1, 2 and 1 hours) with the same three rows, of which the store knows two thirds.
	if stored != 9 || refused != 0 || !until[len(until)-1].Equal(at(4*3600)) || len(r.stretches()) != 3 {
		t.Errorf("%d stored, %d refused, until %v, asked for %v", stored, refused, until, r.stretches())
	}

	full := errors.New("something broke")
	move.Submit = func(context.Context, []fettle.Reading) (int, error) { return 0, full }
	if err := move.Run(t.Context()); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	move.Submit = func(context.Context, []fettle.Reading) (int, error) {
		return 0, fettle.Errorf(fettle.Unavailable, "the disk is full")
	}
	if err := move.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "after 20 tries: the disk is full") {
		t.Errorf("%v", err)
	}
}

// Stretches get longer where there is little, and shorter where there is much.
func TestNextPiece(t *testing.T) {
	for _, c := range []struct {
		piece time.Duration
		rows  int64
		want  time.Duration
	}{
		{time.Hour, 0, 2 * time.Hour},
		{time.Hour, pieceRows / 2, 2 * time.Hour},
		{time.Hour, pieceRows, time.Hour},
		{time.Hour, 2 * pieceRows, 30 * time.Minute},
		{time.Hour, 1000 * pieceRows, time.Minute},
		{20 * time.Hour, 10, 24 * time.Hour},
	} {
		if got := nextPiece(c.piece, c.rows); got != c.want {
			t.Errorf("after %v with %d rows: %v, want %v", c.piece, c.rows, got, c.want)
		}
	}
}
