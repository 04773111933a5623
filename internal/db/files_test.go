package db

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"
)

func contentOf(f Files, name string) string {
	file, size, err := f.Open(name)
	if err != nil {
		return "(none)"
	}
	defer file.Close()
	text := make([]byte, size)
	if _, err := file.ReadAt(text, 0); err != nil && err != io.EOF {
		return err.Error()
	}
	return string(text)
}

func says(text string) func([]io.Writer) error {
	return func(outs []io.Writer) error { _, err := io.WriteString(outs[0], text); return err }
}

// A file that was moved to its name is there after a power cut, whole; what was
// only drafted has no name by then.
func TestFilesSurvivePowerCut(t *testing.T) {
	disk := NewMemoryDisk()
	d, err := disk.Open("/data/db", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	f := d.Files()
	for _, err := range []error{
		f.MakeFolder("/data/a/b"), f.Draft([]string{"/data/a/b/.x"}, says("one")), f.Move(Rename{From: "/data/a/b/.x", To: "/data/a/b/x"}),
		f.Draft([]string{"/data/a/b/.x"}, says("two")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	after, err := disk.PowerCut().Open("/data/db", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if got := contentOf(after.Files(), "/data/a/b/x"); got != "one" {
		t.Errorf("file is %q after a power cut", got)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	f := mustOpen(t, filepath.Join(dir, "db")).Files()
	name := func(s string) string { return filepath.Join(dir, "a", "b", s) }
	for _, err := range []error{
		f.MakeFolder(name("")), f.Draft([]string{name(".x")}, says("one")), f.Move(Rename{From: name(".x"), To: name("x")}), f.Link(name("x"), name("y")),
		f.Draft([]string{name(".x")}, says("two")), f.Move(Rename{From: name(".x"), To: name("x")}), f.Remove(name("z")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if x, y := contentOf(f, name("x")), contentOf(f, name("y")); x != "two" || y != "one" {
		t.Errorf("files are %q and %q", x, y)
	}
	if err := f.Draft([]string{name("half"), name("other")}, func([]io.Writer) error { return fmt.Errorf("no more") }); err == nil {
		t.Error("a draft that failed is no error")
	}
	if names, err := f.List(name("")); fmt.Sprint(names, err) != "[x y] <nil>" && len(names) != 2 {
		t.Errorf("folder holds %v, %v", names, err)
	}
	if names, err := f.List(name("none")); names != nil || err != nil {
		t.Errorf("no folder holds %v, %v", names, err)
	}
}
