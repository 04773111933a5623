package main

import (
	"archive/tar"
	"archive/zip"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"time"
)

// An entry is a file in an archive.
type entry struct {
	name string // below the top folder, with slashes
	text []byte
	runs bool // whether it is a program
}

func (e entry) mode() fs.FileMode {
	if e.runs {
		return 0o755
	}
	return 0o644
}

// writeTar writes a .tar.gz. Names of users, times and whatever else differs
// from one machine to the next stay out.
func writeTar(to io.Writer, top string, content []entry, date time.Time) error {
	packed, err := gzip.NewWriterLevel(to, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(packed)
	for _, e := range content {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: top + "/" + e.name, Size: int64(len(e.text)), Mode: int64(e.mode()), ModTime: date, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(e.text); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), packed.Close())
}

// writeZip writes a .zip in the same way.
func writeZip(to io.Writer, top string, content []entry, date time.Time) error {
	archive := zip.NewWriter(to)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, e := range content {
		header := &zip.FileHeader{Name: top + "/" + e.name, Method: zip.Deflate, Modified: date.UTC()}
		header.SetMode(e.mode())
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(e.text); err != nil {
			return err
		}
	}
	return archive.Close()
}
