package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"testing"
	"time"
)

var date = time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC)

func content() []entry {
	return []entry{{name: "fettle", text: []byte("program"), runs: true}, {name: "docs/config.md", text: bytes.Repeat([]byte("setting "), 10_000)}}
}

// An archive has what it was given, and nothing of when and where it was made.
func TestArchives(t *testing.T) {
	const want = "top/fettle -rwxr-xr-x 7, top/docs/config.md -rw-r--r-- 80000, "
	for _, c := range []struct {
		name  string
		write func(io.Writer, string, []entry, time.Time) error
		list  func([]byte) (string, error)
		want  string
	}{
		{"tar", writeTar, listTar, want},
		{"zip", writeZip, listZip, want},
	} {
		var first, again bytes.Buffer
		if err := c.write(&first, "top", content(), date); err != nil {
			t.Fatal(err)
		}
		if err := c.write(&again, "top", content(), date.In(time.FixedZone("elsewhere", 3600))); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), again.Bytes()) {
			t.Errorf("%s: two archives of the same content differ", c.name)
		}
		if got, err := c.list(first.Bytes()); err != nil || got != c.want {
			t.Errorf("%s has %q (%v)\nexpected %q", c.name, got, err, c.want)
		}
	}
}

func listTar(text []byte) (list string, err error) {
	packed, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	for archive := tar.NewReader(packed); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil || !h.ModTime.Equal(date) || h.Uid != 0 || h.Uname != "" {
			return "", fmt.Errorf("%+v: %w", h, err)
		}
		list += fmt.Sprint(h.Name, " ", h.FileInfo().Mode(), " ", h.Size, ", ")
	}
}

func listZip(text []byte) (list string, err error) {
	archive, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return "", err
	}
	for _, f := range archive.File {
		if !f.Modified.Equal(date) {
			return "", fmt.Errorf("%s is of %v", f.Name, f.Modified)
		}
		list += fmt.Sprint(f.Name, " ", f.Mode(), " ", f.UncompressedSize64, ", ")
	}
	return list, nil
}
