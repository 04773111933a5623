package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fettle"
)

func TestServerNoteComesBackAsWritten(t *testing.T) {
	dir := t.TempDir()
	want := Server{
		PID: 7, HTTP: "127.0.0.1:8000", KeyedHTTP: "127.0.0.1:8001", MQTT: "127.0.0.1:1883",
		Token: "hunter2", Version: "v1", Started: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
	}
	for range 2 { // the second replaces the first
		if err := WriteServer(dir, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadServer(dir)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("%d files in the folder, want the note alone", len(entries))
	}
	info, err := os.Stat(filepath.Join(dir, serverFile))
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600 (%v)", info.Mode(), err)
	}
}

func TestServerNoteOfAnotherProcessStays(t *testing.T) {
	dir := t.TempDir()
	if err := WriteServer(dir, Server{PID: 2}); err != nil {
		t.Fatal(err)
	}
	if err := RemoveServer(dir, 1); err != nil {
		t.Error(err)
	}
	if _, err := ReadServer(dir); err != nil {
		t.Error(err)
	}
	for range 2 { // the second finds nothing to remove
		if err := RemoveServer(dir, 2); err != nil {
			t.Error(err)
		}
	}
	if _, err := ReadServer(dir); fettle.KindOf(err) != fettle.NotFound {
		t.Errorf("got %v, want NotFound", err)
	}
}

func TestBrokenServerNoteIsNamed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, serverFile)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadServer(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}
