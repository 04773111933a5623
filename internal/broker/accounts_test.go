package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"pgregory.net/rapid"

	"fettle"
	"fettle/internal/db"
)

func openStore(t testing.TB, dir string) *db.DB {
	t.Helper()
	d, err := db.Open(dir, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func openAccounts(t testing.TB) *Accounts {
	t.Helper()
	a, err := OpenAccounts(openStore(t, t.TempDir()), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAccountsAreKept(t *testing.T) {
	dir := t.TempDir()
	d, err := db.Open(dir, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := OpenAccounts(d, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	made, err := a.Add(Account{Name: "press", Publish: []string{"plant/{user}/#"}}, "")
	if err != nil || len(made) < 20 {
		t.Fatalf("made %q, %v", made, err)
	}
	if _, err := a.Add(Account{Name: "hall"}, "correct horse"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Add(Account{Name: "gone"}, ""); err != nil {
		t.Fatal(err)
	}
	if err := a.Remove("gone"); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if a, err = OpenAccounts(openStore(t, dir), time.Now); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, password string
		in             bool
	}{{"press", made, true}, {"press", made, true}, {"press", "x" + made, false}, {"hall", "correct horse", true}, {"hall", made, false}, {"gone", "", false}, {"", "", false}} {
		if _, in := a.allow(c.name, []byte(c.password)); in != c.in {
			t.Errorf("%s with %q: in is %v", c.name, c.password, in)
		}
	}
	if got := a.List(); len(got) != 2 || got[0].Name != "hall" || !slices.Equal(got[1].Publish, []string{"plant/{user}/#"}) || got[1].Created.IsZero() {
		t.Errorf("listed %+v", got)
	}
	made, err = a.SetPassword("hall", "")
	if _, in := a.allow("hall", []byte("correct horse")); err != nil || in {
		t.Errorf("the old password: in is %v, %v", in, err)
	}
	if _, in := a.allow("hall", []byte(made)); !in {
		t.Error("the new password is wrong")
	}
}

func TestAccountsRefuse(t *testing.T) {
	a := openAccounts(t)
	if _, err := a.Add(Account{Name: "press"}, ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		account  Account
		password string
		kind     fettle.Kind
	}{
		{Account{Name: "press"}, "", fettle.Conflict},
		{Account{Name: " "}, "", fettle.Invalid},
		{Account{Name: "a/b"}, "", fettle.Invalid},
		{Account{Name: "+"}, "", fettle.Invalid},
		{Account{Name: "a\nb"}, "", fettle.Invalid},
		{Account{Name: strings.Repeat("x", fettle.MaxName+1)}, "", fettle.Invalid},
		{Account{Name: "a"}, "short", fettle.Invalid},
		{Account{Name: "a"}, strings.Repeat("x", mostSecret+1), fettle.Invalid},
		{Account{Name: "a", Publish: []string{"a/#/b"}}, "", fettle.Invalid},
		{Account{Name: "a", Publish: []string{"a+"}}, "", fettle.Invalid},
		{Account{Name: "a", Subscribe: []string{""}}, "", fettle.Invalid},
		{Account{Name: "a", Subscribe: []string{"$share/g/a"}}, "", fettle.Invalid},
		{Account{Name: "a", Subscribe: make([]string, maxFilters+1)}, "", fettle.Invalid},
	} {
		if _, err := a.Add(c.account, c.password); fettle.KindOf(err) != c.kind {
			t.Errorf("%+v: %v, want kind %v", c.account, err, c.kind)
		}
	}
	for _, err := range []error{a.Remove("nobody"), a.SetRights("nobody", nil, nil)} {
		if fettle.KindOf(err) != fettle.NotFound {
			t.Errorf("nobody: %v", err)
		}
	}
	if _, err := a.SetPassword("nobody", ""); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("nobody: %v", err)
	}
}

func TestRights(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		a := openAccounts(t)
		add := func(account Account) connectOption {
			t.Helper()
			password, err := a.Add(account, "")
			if err != nil {
				t.Fatal(err)
			}
			return asUser(account.Name, password)
		}
		press := add(Account{Name: "press", Publish: []string{"plant/{user}/#", "sensor/%u"}, Subscribe: []string{"plant/+/state"}})
		all := add(Account{Name: "all", Publish: []string{"#"}, Subscribe: []string{"#"}})
		var in inbox
		b := start(t, Config{Accounts: a, Wants: func(string) bool { return true }}, in.receive)
		for topic, allowed := range map[string]bool{"plant/press/x": true, "plant/press": true, "sensor/press": true, "plant/hall/x": false, "sensor/hall": false, "x": false} {
			c := dial(t, b, version, "c"+topic, press)
			c.publish(topic, "0", 0, 0)
			c.ping()
			c.publish(topic, "1", 1, 1)
			switch pk, err := c.tryRead(); {
			case version == 4 && !allowed:
				if err == nil {
					t.Errorf("publish on %s is answered %+v, want a closed connection", topic, pk)
				}
			case err != nil || (pk.ReasonCode < 0x80) != allowed:
				t.Errorf("publish on %s is answered %+v, %v", topic, pk, err)
			}
		}
		if got := len(in.all()); got != 6 {
			t.Errorf("%d messages are received, want 6", got)
		}
		for filter, allowed := range map[string]bool{"plant/+/state": true, "plant/hall/state": true, "$share/g/plant/+/state": true, "#": false, "plant/#": false, "plant/+/+": false} {
			c := dial(t, b, version, "s"+filter, press)
			c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 1, Filters: packets.Subscriptions{{Filter: filter}}})
			if pk := c.want(packets.Suback); (pk.ReasonCodes[0] < 0x80) != allowed {
				t.Errorf("subscribe to %s is answered %+v", filter, pk.ReasonCodes)
			}
		}
		// Rights that change are in force at once, for what is subscribed already too.
		watcher, publisher := dial(t, b, version, "watcher", press), dial(t, b, version, "publisher", all)
		watcher.subscribe("plant/+/state", 1)
		tell := func(topic string) {
			publisher.publish(topic, "x", 1, 1)
			publisher.want(packets.Puback)
		}
		tell("plant/a/state")
		watcher.acknowledge(watcher.wantMessage("plant/a/state", "x"))
		if err := a.SetRights("press", nil, []string{"plant/b/#"}); err != nil {
			t.Fatal(err)
		}
		tell("plant/a/state")
		tell("plant/b/state")
		watcher.wantMessage("plant/b/state", "x")
		// A will is a message too.
		if _, answer := knock(t, b, version, "will", press, withWill("plant/press/x", "x")); answer.ReasonCode == 0 {
			t.Error("a client with a will that it may not publish is in")
		}
	})
}

func TestRemovedUsersAreOutAtOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, version byte) {
		a := openAccounts(t)
		b := start(t, Config{Accounts: a}, nil)
		early := dial(t, b, version, "early") // while there are no users
		password, err := a.Add(Account{Name: "press", Publish: []string{"#"}}, "")
		if err != nil {
			t.Fatal(err)
		}
		as := asUser("press", password)
		if _, answer := knock(t, b, version, "late"); answer.ReasonCode == 0 {
			t.Error("anybody is in though there is a user")
		}
		c := dial(t, b, version, "c", as)
		if _, answer := knock(t, b, version, "early", as); answer.ReasonCode == 0 {
			t.Error("a user took somebody else's client id")
		}
		if password, err = a.SetPassword("press", ""); err != nil {
			t.Fatal(err)
		}
		c.wantClosed()
		if _, answer := knock(t, b, version, "c", as); answer.ReasonCode == 0 {
			t.Error("the old password is good still")
		}
		c = dial(t, b, version, "c", asUser("press", password))
		if err := a.Remove("press"); err != nil {
			t.Fatal(err)
		}
		if reason := c.wantClosed(); version == 5 && reason != packets.ErrAdministrativeAction.Code {
			t.Errorf("told %#x", reason)
		}
		early.ping()
	})
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		wide, narrow string
		want         bool
	}{
		{"#", "a", true}, {"#", "#", true}, {"#", "+/a", true}, {"#", "/", true},
		{"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "a/#", true}, {"a/#", "+/b", false}, {"a/#", "ab", false},
		{"+", "a", true}, {"+", "a/b", false}, {"+", "#", false}, {"+/b", "a/b", true}, {"+/b", "+/b", true}, {"a/+", "a", false}, {"a/+", "a/", true},
		{"a/b", "a/b", true}, {"a/b", "a/+", false}, {"a/b", "a", false}, {"a", "a/b", false}, {"", "", true},
	} {
		if got := covers(c.wide, c.narrow); got != c.want {
			t.Errorf("covers(%q, %q) is %v", c.wide, c.narrow, got)
		}
	}
}

// What a filter covers, another that covers the filter covers too.
func TestCoversIsTransitive(t *testing.T) {
	level := rapid.SampledFrom([]string{"a", "b", "", "+"})
	filter := rapid.Custom(func(t *rapid.T) string {
		levels := rapid.SliceOfN(level, 1, 4).Draw(t, "levels")
		if rapid.Bool().Draw(t, "open") {
			levels = append(levels, "#")
		}
		return strings.Join(levels, "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		x, y, z := filter.Draw(t, "x"), filter.Draw(t, "y"), filter.Draw(t, "z")
		if !covers(x, x) {
			t.Errorf("%q does not cover itself", x)
		}
		if covers(x, y) && covers(y, z) && !covers(x, z) {
			t.Errorf("%q covers %q covers %q, but not the last", x, y, z)
		}
	})
}

func FuzzFilters(f *testing.F) {
	for _, seed := range []string{"a/{user}/#", "+/+", "#", "", "$share/a/b", "a//b", "%u", "a\x00"} {
		f.Add(seed, "press")
	}
	f.Fuzz(func(t *testing.T, filter, user string) {
		acc := Account{Name: user, Publish: []string{filter}}
		if acc.check() != nil {
			return
		}
		got := rights{publish: []string{filter}}.of(user).publish[0]
		if !fitFilter(got) {
			t.Errorf("%q of %q becomes %q, which is no filter", filter, user, got)
		}
		if wild := func(s string) int { return strings.Count(s, "+") + strings.Count(s, "#") }; wild(got) != wild(filter) {
			t.Errorf("%q of %q becomes %q, which is wider", filter, user, got)
		}
		_ = covers(got, fmt.Sprint(user, "/x"))
	})
}
