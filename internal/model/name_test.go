package model

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"fettle"
)

func TestNames(t *testing.T) {
	stamp := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct{ machine, name string }{
		{"cnc-mill-5-axis", "model_cnc-mill-5-axis_20250102_030405"},
		{"a_b", "model_a_b_20250102_030405"},
		{"a_20240101_000000", "model_a_20240101_000000_20250102_030405"},
		{"_", "model___20250102_030405"},
		{"68889e4d171eff841cba171a", "model_68889e4d171eff841cba171a_20250102_030405"},
		{"../etc/passwd", "model_..%2Fetc%2Fpasswd_20250102_030405"},
		{`C:\press*7?`, "model_C%3A%5Cpress%2A7%3F_20250102_030405"},
		{"50%", "model_50%25_20250102_030405"},
		{"Fräse 3", "model_Fräse%203_20250102_030405"},
	} {
		name, err := versionName(c.machine, stamp)
		if err != nil || name != c.name {
			t.Errorf("%q is named %q, %v; want %q", c.machine, name, err, c.name)
		}
		if machine, at, ok := parseName(c.name); !ok || machine != c.machine || !at.Equal(stamp) {
			t.Errorf("%q is read as %q, %v, %v", c.name, machine, at, ok)
		}
	}
}

// TestOldNames reads names that nobody escaped.
func TestOldNames(t *testing.T) {
	for _, c := range []struct{ name, machine string }{
		{"model_50%_20250102_030405", "50%"},
		{"model_50%zz_20250102_030405", "50%zz"},
		{"model_a b_20250102_030405", "a b"},
	} {
		if machine, _, ok := parseName(c.name); !ok || machine != c.machine {
			t.Errorf("%q is read as %q, %v; want %q", c.name, machine, ok, c.machine)
		}
	}
}

func TestRefusesNames(t *testing.T) {
	for _, name := range []string{
		"", "model_", "model__20250102_030405", "model_20250102_030405", "modela_20250102_030405", "scaler_a_20250102_030405",
		"model_a_2025010_030405", "model_a_20251302_030405", "model_a_20250102_036105", "model_a_20250102-030405",
		"model_a_20250102_030405.bak", "model_" + strings.Repeat("a", 129) + "_20250102_030405", "model_\xff_20250102_030405",
	} {
		if machine, _, ok := parseName(name); ok {
			t.Errorf("%q is read as a version of %q", name, machine)
		}
	}
	for _, machine := range []string{"", strings.Repeat("a", 129), "\xff", strings.Repeat("/", 100)} {
		if name, err := versionName(machine, time.Now()); err == nil {
			t.Errorf("%q is named %q", machine, name)
		}
	}
}

// TestNamesThereAndBack names any machine so that no file system minds, and
// reads the machine back.
func TestNamesThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		machine := rapid.StringN(1, 40, 60).Draw(t, "machine")
		stamp := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "stamp"), 0).UTC()
		name, err := versionName(machine, stamp)
		if err != nil {
			t.Fatalf("%q: %v", machine, err)
		}
		if strings.ContainsAny(name, `/\:*?"<>| `+"\x00\n") || !utf8.ValidString(name) {
			t.Fatalf("%q is named %q", machine, name)
		}
		if back, at, ok := parseName(name); !ok || back != machine || !at.Equal(stamp) {
			t.Fatalf("%q is read as %q, %v, %v; want %q, %v", name, back, at, ok, machine, stamp)
		}
	})
}

// TestNoNameAfterTheEndOfTime refuses a stamp that the layout cannot hold: its
// name could not be read back.
func TestNoNameAfterTheEndOfTime(t *testing.T) {
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	if name, err := versionName("m", last); err != nil || name != "model_m_99991231_235959" {
		t.Errorf("%s, %v", name, err)
	}
	if name, err := versionName("m", last.Add(time.Second)); fettle.KindOf(err) != fettle.Conflict || !strings.Contains(err.Error(), "delete the newest version of m") {
		t.Errorf("%s, %v", name, err)
	}
}
