package readings

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fettle"
	"fettle/internal/db"
)

func openDB(t *testing.T, dir string) *db.DB {
	t.Helper()
	d, err := db.Open(dir, db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// openStore opens a store in a folder of its own, and checks it at the end.
func openStore(t *testing.T) *Store {
	t.Helper()
	dir := t.TempDir()
	return openIn(t, openDB(t, filepath.Join(dir, "db")), dir)
}

func openIn(t *testing.T, d *db.DB, dir string) *Store {
	t.Helper()
	s, err := Open(d, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustBeSound(t, s) })
	return s
}

// mustBeSound checks everything in a store that is still open.
func mustBeSound(t rapid.TB, s *Store) {
	t.Helper()
	if s.db.Trouble() != nil {
		return
	}
	r, err := s.Check(context.Background())
	if err != nil || len(r.Faults) > 0 {
		t.Errorf("check found %q, %v", r.Faults, err)
	}
}

// at is n seconds after a fixed moment.
func at(n int) time.Time { return time.Date(2026, 3, 1, 12, 0, n, 0, time.UTC) }

// reading parses "mill 3 a=1 b=2 #shift=early": machine, second, values, tags.
func reading(text string) fettle.Reading {
	var r fettle.Reading
	var second int
	words := strings.Fields(text)
	r.Machine = words[0]
	fmt.Sscan(words[1], &second)
	r.Time = at(second)
	for _, word := range words[2:] {
		name, text, _ := strings.Cut(word, "=")
		if tag, isTag := strings.CutPrefix(name, "#"); isTag {
			r.Tags = map[string]string{tag: text}
			continue
		}
		v := fettle.Value{Sensor: name}
		fmt.Sscan(text, &v.Value)
		r.Values = append(r.Values, v)
	}
	return r
}

// write is reading's inverse.
func write(r fettle.Reading) string {
	words := []string{r.Machine, fmt.Sprint(int(r.Time.Sub(at(0)).Seconds()))}
	for _, v := range r.Values {
		words = append(words, fmt.Sprintf("%s=%v", v.Sensor, v.Value))
	}
	for name, text := range r.Tags {
		words = append(words, "#"+name+"="+text)
	}
	return strings.Join(words, " ")
}

// appendAll appends the readings in one call.
func appendAll(t *testing.T, s *Store, texts ...string) Appended {
	t.Helper()
	var rows []fettle.Reading
	for _, text := range texts {
		rows = append(rows, reading(text))
	}
	done, err := s.Append(rows)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func wantRows(t *testing.T, s *Store, machine string, want ...string) {
	t.Helper()
	var got []string
	if err := s.Range(machine, time.Time{}, time.Time{}, func(r fettle.Reading) error {
		got = append(got, write(r))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows are\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
