package logfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func lines(t *testing.T, path string, what What) []string {
	t.Helper()
	var got []string
	if err := Show(t.Context(), path, what, func(line string) error { got = append(got, line); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "fettle.log")
	w, err := Open(path, 100, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		fmt.Fprintf(w, "line %02d.\n", i) // 9 bytes: 11 in a file
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for i, size := range []int64{9, 99, 99} {
		info, err := os.Stat(numbered(path, i))
		if err != nil || info.Size() != size {
			t.Errorf("file %d: %v, %v", i, info, err)
		}
		if err == nil && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("file %d is %v", i, info.Mode())
		}
	}
	if _, err := os.Stat(numbered(path, 3)); err == nil {
		t.Error("a third older file")
	}
	if got := lines(t, path, What{Last: 1000}); len(got) != 23 || got[0] != "line 77." || got[22] != "line 99." {
		t.Errorf("%q", got)
	}
	if got := lines(t, path, What{Last: 3}); !slices.Equal(got, []string{"line 97.", "line 98.", "line 99."}) {
		t.Errorf("%q", got)
	}
	if got := lines(t, path, What{Last: 3, Wanted: func(l string) bool { return strings.Contains(l, "0.") }}); !slices.Equal(got, []string{"line 80.", "line 90."}) {
		t.Errorf("%q", got)
	}
}

func TestGoesOnWhereItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fettle.log")
	for _, text := range []string{"a\n", "b\n"} {
		w, err := Open(path, 1000, 1)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := lines(t, path, What{Last: 10}); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
	if got := lines(t, filepath.Join(t.TempDir(), "none"), What{Last: 10}); got != nil {
		t.Errorf("%q of a log that is not there", got)
	}
}

// Every line is followed once, in order, over rotations; each batch waits for
// the one before, so that no file goes unread.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fettle.log")
	ctx, stop := context.WithCancel(t.Context())
	seen, ended := make(chan string), make(chan error, 1)
	go func() {
		ended <- Show(ctx, path, What{Last: 10, Follow: true}, func(line string) error { seen <- line; return nil })
	}()
	w, err := Open(path, 30, 3)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range 4 {
		for i := range 6 { // 8 bytes each: three in a file
			fmt.Fprintf(w, "line %02d\n", n+i)
		}
		for range 6 {
			if got, want := <-seen, fmt.Sprintf("line %02d", n); got != want {
				t.Fatalf("%q, want %q", got, want)
			}
			n++
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}
