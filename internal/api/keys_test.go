package api

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fettle"
	"fettle/internal/db"
)

// ring opens a store and its keys, with a clock that the test turns.
func ring(t *testing.T, dir string, now *time.Time) (*db.DB, *Keys) {
	t.Helper()
	d, err := db.Open(dir, db.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	keys, err := OpenKeys(d, func() time.Time { return *now })
	if err != nil {
		t.Fatal(err)
	}
	return d, keys
}

func TestKeyLives(t *testing.T) {
	dir, now := t.TempDir(), noon
	d, keys := ring(t, dir, &now)
	if keys.Any() {
		t.Error("an empty ring has a key")
	}
	text, made, err := keys.Create("Grafana", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^fet_[0-9a-f]{12}_[0-9a-f]{64}$`).MatchString(text) {
		t.Errorf("key %q", text)
	}
	if made.Name != "Grafana" || !slices.Equal(made.Scopes, DefaultScopes()) || !made.Created.Equal(noon) || made.LastUsed != nil {
		t.Errorf("made %+v", made)
	}
	now = now.Add(90 * time.Second)
	used, known := keys.Check(text)
	if !known || used.LastUsed == nil || !used.LastUsed.Equal(noon.Add(time.Minute)) {
		t.Errorf("checked: %v, last used %v", known, used.LastUsed)
	}

	// A new process knows it, and its last use.
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	_, keys = ring(t, dir, &now)
	list := keys.List()
	if len(list) != 1 || list[0].ID != made.ID || list[0].LastUsed == nil || !keys.Any() {
		t.Fatalf("after a restart: %+v", list)
	}
	if _, known := keys.Check(text); !known {
		t.Error("after a restart the key is unknown")
	}

	// Revoked, it is nothing at once, and stays so.
	if err := keys.Revoke(made.ID); err != nil {
		t.Fatal(err)
	}
	if _, known := keys.Check(text); known || keys.Any() {
		t.Error("a revoked key is known")
	}
	if _, known := keys.Use(made.ID); known {
		t.Error("a revoked key's sessions go on")
	}
	if err := keys.Revoke(made.ID); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("revoked twice: %v", err)
	}
}

func TestStoredKeyIsNoKey(t *testing.T) {
	now := noon
	d, keys := ring(t, t.TempDir(), &now)
	text, made, err := keys.Create("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	record, found, err := d.Get([]byte("k/" + made.ID))
	if err != nil || !found {
		t.Fatal(found, err)
	}
	secret := text[strings.LastIndex(text, "_")+1:]
	if strings.Contains(string(record), secret) {
		t.Error("the secret stands in the store")
	}
}

func TestCheckRefuses(t *testing.T) {
	now := noon
	_, keys := ring(t, t.TempDir(), &now)
	text, made, err := keys.Create("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := keys.Create("y", nil)
	if err != nil {
		t.Fatal(err)
	}
	otherSecret := other[strings.LastIndex(other, "_"):]
	for _, wrong := range []string{
		"", "fet_", "fet__", "fet_" + made.ID, "fet_" + made.ID + "_", "fet_" + made.ID + otherSecret,
		text[:len(text)-1], text + "0", " " + text, strings.ToUpper(text), "FET" + text[3:], "fet_000000000000_" + strings.Repeat("0", 64),
	} {
		if _, known := keys.Check(wrong); known {
			t.Errorf("%q is taken for a key", wrong)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	now := noon
	_, keys := ring(t, t.TempDir(), &now)
	for _, c := range []struct {
		name   string
		scopes []Scope
		field  string
	}{
		{"", nil, "name"},
		{"  ", nil, "name"},
		{"a\nb", nil, "name"},
		{"\xff", nil, "name"},
		{strings.Repeat("x", 129), nil, "name"},
		{"x", []Scope{"root"}, "scopes"},
		{"x", []Scope{Read, ""}, "scopes"},
	} {
		_, _, err := keys.Create(c.name, c.scopes)
		if fettle.KindOf(err) != fettle.Invalid || !strings.Contains(err.Error(), c.field) {
			t.Errorf("name %q, scopes %v: %v", c.name, c.scopes, err)
		}
	}
	for range maxKeys {
		keys.ring[randomHex(6)] = storedKey{}
	}
	if _, _, err := keys.Create("one too many", nil); fettle.KindOf(err) != fettle.Conflict || !strings.Contains(err.Error(), "1000") {
		t.Errorf("over the limit: %v", err)
	}
}

func TestScopesAreSortedAndAdminHoldsAll(t *testing.T) {
	now := noon
	_, keys := ring(t, t.TempDir(), &now)
	_, made, err := keys.Create("x", []Scope{Operate, Read, Operate})
	if err != nil || !slices.Equal(made.Scopes, []Scope{Read, Operate}) {
		t.Errorf("scopes %v, %v", made.Scopes, err)
	}
	if made.Allows(Admin) || made.Allows(Write) || !made.Allows(Read) {
		t.Errorf("allows too much or too little: %v", made.Scopes)
	}
	if admin := (Key{Scopes: []Scope{Admin}}); !admin.Allows(Read) || !admin.Allows(Operate) {
		t.Error("admin does not include the others")
	}
}
