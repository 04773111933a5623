package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

func TestAlarmsOfAMinuteGoOutTogether(t *testing.T) {
	d := newDesk(t, all("a"))
	d.note(raised(1))
	d.wait(4 * time.Second)
	d.expectSent("others may join", 0)
	d.note(raised(2))
	d.wait(time.Second)
	d.expectSent("five seconds after the first", 1)
	d.note(raised(3))
	d.wait(50 * time.Second)
	d.expectSent("within the minute", 1)
	d.note(raised(4))
	d.wait(10 * time.Second)
	d.expectSent("after the minute", 2)
	if s := d.status(); s.Waiting != 0 || s.Sent != 2 || s.LastOK == nil || s.Next != nil {
		t.Errorf("status is %+v", s)
	}
}

func TestAfterSoManyInAnHourComesOneSummary(t *testing.T) {
	d := newDesk(t, all("a"))
	for id := range uint64(30) {
		d.note(raised(id))
		d.wait(time.Minute)
	}
	d.expectSent("half an hour", 3)
	if s := d.status(); !s.Held || s.Waiting != 27 {
		t.Errorf("status is %+v", s)
	}
	d.reopen()
	d.wait(29 * time.Minute)
	d.expectSent("almost an hour", 3)
	d.wait(2 * time.Minute)
	d.expectSent("an hour after the first", 4)
	if want := "This is a summary of 27 changes of alarms since 2026-01-01T12:03:00Z: no more than 3 messages go out in an hour."; !strings.HasSuffix(d.sent[3], want) {
		t.Errorf("sent %s, expected %s", d.sent[3], want)
	}
	d.note(raised(40))
	d.wait(2 * time.Minute)
	d.expectSent("a new hour", 5)
}

func TestRetriedWithTheSameIDOverRestarts(t *testing.T) {
	d := newDesk(t, all("a"))
	var ids []string
	d.answer = func(_ *address, l letter) error {
		ids = append(ids, l.id)
		return errors.New("connection refused")
	}
	d.note(raised(1))
	d.wait(time.Minute)
	if len(ids) < 3 || len(ids) > 5 { // after 5, 5, 10, 20, 40 seconds, more or less
		t.Errorf("%d attempts in a minute", len(ids))
	}
	d.note(raised(2)) // it does not join the message under way
	d.reopen()
	s := d.status()
	if s.Attempts != len(ids) || s.LastError != "connection refused" || s.Waiting != 2 {
		t.Errorf("after a restart: %+v after %d attempts", s, len(ids))
	}
	d.wait(2 * time.Hour)
	if d.status().Attempts > 30 {
		t.Errorf("%d attempts in two hours", d.status().Attempts)
	}
	d.answer = func(*address, letter) error { return nil }
	d.wait(15 * time.Minute)
	d.expectSent("once it is back", 2)
	if !strings.Contains(d.sent[0], ids[0]) || strings.Contains(d.sent[1], ids[0]) {
		t.Errorf("sent %v after attempts at %s", d.sent, ids[0])
	}
}

func TestGivenUp(t *testing.T) {
	for _, c := range []struct {
		what   string
		answer error
		after  time.Duration
	}{
		{"at once, if it will never be taken", fettle.Errorf(fettle.Invalid, "no such mailbox"), time.Minute},
		{"after a day, if it could be", fettle.Errorf(fettle.Unavailable, "greylisted"), 25 * time.Hour},
	} {
		d := newDesk(t, all("a"))
		d.answer = func(*address, letter) error { return c.answer }
		d.note(raised(1), raised(2))
		d.wait(c.after)
		for range 2 {
			dead, err := d.Dead(10)
			if err != nil || len(dead) != 1 || dead[0].Receiver != "a" || dead[0].Notices != 2 || fmt.Sprint(dead[0].Alarms, dead[0].Machines) != "[1 2] [press-3]" || dead[0].Error != c.answer.Error() {
				t.Errorf("%s: dead letters are %+v (%v)", c.what, dead, err)
			}
			if s := d.status(); s.Waiting != 0 || s.Dead != 2 || s.Sent != 0 || s.LastError != c.answer.Error() {
				t.Errorf("%s: status is %+v", c.what, s)
			}
			d.reopen()
		}
		d.answer = func(*address, letter) error { return nil }
		d.note(raised(3))
		d.wait(2 * time.Minute)
		d.expectSent(c.what+", the next one is sent", 1)
	}
}

// What was given up can be sent again, once, as it was; also after a restart.
func TestResend(t *testing.T) {
	d := newDesk(t, all("a"), all("b"))
	d.answer = func(*address, letter) error { return fettle.Errorf(fettle.Invalid, "never") }
	d.note(raised(1), raised(2))
	d.wait(time.Hour)
	d.answer = func(*address, letter) error { return nil }
	if _, err := d.Resend("nobody", 0); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("to nobody: %v", err)
	}
	d.reopen()
	results, err := d.Resend("a", 0)
	if err != nil || len(results) != 1 || results[0].Notices != 2 || results[0].Error != "" {
		t.Fatalf("%+v, %v", results, err)
	}
	d.reopen()
	d.wait(time.Hour)
	d.expectSent("sent again to one of two", 1)
	if dead, err := d.Dead(10); err != nil || len(dead) != 1 || dead[0].Receiver != "b" {
		t.Errorf("dead letters are %+v, %v", dead, err)
	}
	if _, err := d.Resend("a", 0); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("a second time: %v", err)
	}
	d.cfg.Receivers = d.cfg.Receivers[:1]
	d.reopen()
	if results, err := d.Resend("", 0); err != nil || len(results) != 1 || !strings.Contains(results[0].Error, "no such receiver") {
		t.Errorf("to one that is gone: %+v, %v", results, err)
	}
}

func TestOneAddressDoesNotHoldUpAnother(t *testing.T) {
	both := all("a")
	both.Email = []string{"anna@example.com", "ben@example.com"}
	d := newDesk(t, both)
	d.answer = func(a *address, _ letter) error {
		if a.to == "anna@example.com" {
			return fettle.Errorf(fettle.Unavailable, "not now")
		}
		return nil
	}
	d.note(raised(1))
	d.wait(time.Hour)
	d.expectSent("to Ben", 1)
	if s := d.Status(); s[0].Waiting != 1 || s[1].Waiting != 0 {
		t.Errorf("status is %+v", s)
	}
}

func TestQueueIsBounded(t *testing.T) {
	d := newDesk(t, all("a"))
	d.answer = refuses
	for id := range uint64(maxWaiting + 5) {
		d.note(raised(id))
	}
	dead, err := d.Dead(100)
	if err != nil || len(dead) != 5 || !strings.Contains(dead[0].Error, "1000 notices wait for this address already") {
		t.Errorf("%d dead letters: %v (%v)", len(dead), dead, err)
	}
	if s := d.status(); s.Waiting != maxWaiting || s.Dead != 5 {
		t.Errorf("status is %+v", s)
	}
}

func TestDeadLettersAreBounded(t *testing.T) {
	d := newDesk(t, all("a"))
	batch := d.db.NewBatch()
	for range maxDead + 7 {
		if err := d.bury(batch, "a", "", []notice{{Alarm: raised(1)}}, errors.New("no")); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.db.Commit(batch, db.Synced); err != nil {
		t.Fatal(err)
	}
	if dead, err := d.Dead(2 * maxDead); err != nil || len(dead) != maxDead || dead[0].Number != maxDead+7 {
		t.Errorf("%d dead letters (%v)", len(dead), err)
	}
}

// What could not be committed was never told, and is told with the next commit.
func TestNothingCountsThatIsNotCommitted(t *testing.T) {
	d := newDesk(t, all("a"))
	if _, err := d.Note(d.db.NewBatch(), noon, []fettle.Alarm{raised(1)}); err != nil {
		t.Fatal(err)
	}
	d.wait(time.Hour)
	d.expectSent("not committed", 0)
	d.note(raised(1))
	d.wait(time.Hour)
	d.expectSent("committed", 1)
	d.reopen()
	d.note(raised(1))
	d.note(cleared(raised(1), noon))
	d.wait(time.Hour)
	d.expectSent("its end", 2)
}

// A crash after a receiver has taken a message, and before that is noted, makes
// it go out again, with the same id.
func TestCrashBetweenSendingAndNoting(t *testing.T) {
	d := newDesk(t, all("a"))
	d.note(raised(1))
	a := d.addresses[0]
	m, err := a.begin()
	if err != nil {
		t.Fatal(err)
	}
	notices, err := a.read(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.sender.send(t.Context(), d.compose(m, notices)); err != nil {
		t.Fatal(err)
	}
	d.reopen()
	d.wait(time.Minute)
	d.expectSent("again", 2)
	if d.sent[0] != d.sent[1] {
		t.Errorf("sent %v", d.sent)
	}
	d.reopen()
	d.wait(time.Hour)
	d.expectSent("and no more", 2)
}

// A notice that is committed while a message is on its way is not lost with it.
func TestNoticeThatComesMeanwhile(t *testing.T) {
	d := newDesk(t, all("a"))
	once := true
	d.answer = func(*address, letter) error {
		if once {
			once = false
			d.note(raised(2))
		}
		return nil
	}
	d.note(raised(1))
	d.wait(2 * time.Minute)
	d.expectSent("both", 2)
}

// A clock that was a year ahead, and is put right, holds nothing up.
func TestClockSetBack(t *testing.T) {
	d := newDesk(t, all("a"))
	for id := range uint64(5) {
		d.note(raised(id))
		d.wait(time.Minute)
	}
	d.answer = refuses
	d.wait(2 * time.Hour)
	d.clock = d.clock.AddDate(-1, 0, 0)
	d.answer = func(*address, letter) error { return nil }
	sent := len(d.sent)
	d.wait(2 * time.Hour)
	d.expectSent("after the clock was set back", sent+1)
}

func TestReceiverThatIsGone(t *testing.T) {
	d := newDesk(t, all("a"), all("b"))
	d.note(raised(1))
	d.cfg.Receivers = d.cfg.Receivers[1:]
	d.reopen()
	dead, err := d.Dead(10)
	if err != nil || len(dead) != 1 || dead[0].Receiver != "a" || !strings.Contains(dead[0].Error, "no such receiver any more") {
		t.Errorf("dead letters are %+v (%v)", dead, err)
	}
	d.wait(time.Minute)
	d.expectSent("to the other", 1)
}

// Run sends by the clock on the wall, and ends while a receiver hangs.
func TestRun(t *testing.T) {
	d := newDesk(t, all("a"), all("slow"))
	d.cfg.Group = 0
	d.reopen()
	sent, hangs := make(chan struct{}), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	d.answer = func(a *address, _ letter) error {
		if a.receiver.Name == "a" {
			close(sent)
			return nil
		}
		close(hangs)
		<-ctx.Done()
		return ctx.Err()
	}
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	d.note(raised(1))
	<-sent
	<-hangs
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s := d.Status()[1]; s.Waiting != 1 || s.Attempts != 0 {
		t.Errorf("the slow one: %+v", s)
	}
}

func TestTestsOfReceivers(t *testing.T) {
	d := newDesk(t, all("a"), all("b"))
	d.answer = func(a *address, _ letter) error {
		if a.receiver.Name == "b" {
			return errors.New("no")
		}
		return nil
	}
	got, err := d.Test(t.Context(), "")
	if err != nil || fmt.Sprint(got) != "[{a there } {b there no}]" {
		t.Errorf("results are %v (%v)", got, err)
	}
	if !strings.Contains(d.sent[0], "This is a test.") {
		t.Errorf("sent %v", d.sent)
	}
	if _, err := d.Test(t.Context(), "c"); fettle.KindOf(err) != fettle.NotFound || !strings.Contains(err.Error(), `no receiver "c"`) {
		t.Errorf("an unknown receiver: %v", err)
	}
	if _, err := newDesk(t).Test(t.Context(), ""); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("no receivers: %v", err)
	}
}
