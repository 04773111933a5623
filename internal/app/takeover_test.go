package app

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fettle/internal/alarm"
	"fettle/internal/config"
	"fettle/internal/model"
)

// unpackFormat1 makes a folder data as the last fettle of store format 1 left it
// when it was killed: two machines with three days of readings, a key called
// dashboard, an alarm that Ada acknowledged with the note "fan", four models.
func unpackFormat1(t *testing.T) (root string) {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "format1.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	dir := filepath.Join(root, "data")
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			err = writeAll(path, archive)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func writeAll(path string, content io.Reader) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// A folder of the oldest format is opened with all that is in it; its old days
// become files; and a copy of it as it was lies beside it.
func TestOldestFolderIsTakenOver(t *testing.T) {
	root := unpackFormat1(t)
	cfg := settings(root)
	cfg.Retention.Every = config.Duration(100 * time.Millisecond)
	server := startApp(t, cfg)
	rows := map[string]int64{}
	for _, info := range server.flow.readings.Machines() {
		rows[info.Machine] = info.Rows
	}
	if rows["cnc-mill-5-axis"] != 361 || rows["lathe-1-spindle"] != 362 || len(rows) != 2 {
		t.Errorf("readings: %v", rows)
	}
	if keys := server.keys.List(); len(keys) != 1 || keys[0].Name != "dashboard" {
		t.Errorf("keys: %+v", keys)
	}
	if list := server.flow.alarms.List(alarm.Filter{}); len(list) != 1 || list[0].AcknowledgedBy != "Ada" || list[0].Note != "fan" {
		t.Errorf("alarms: %+v", list)
	}
	for machine := range rows {
		if champion, found := server.models.Champion(machine, "short"); !found || champion.Family != model.Ridge {
			t.Errorf("%s has no model", machine)
		}
		if server.flow.judge.Cursor(machine).IsZero() {
			t.Errorf("%s begins to be judged anew", machine)
		}
	}
	for server.flow.readings.Files().Bytes == 0 { // until a day is sealed
		select {
		case <-time.After(20 * time.Millisecond):
		case err := <-server.ended:
			t.Fatal(err)
		}
	}
	server.stop(t)

	copies, err := filepath.Glob(filepath.Join(root, "data", "db.*"))
	if err != nil || len(copies) != 1 || !strings.HasPrefix(filepath.Base(copies[0]), "db.format1-") {
		t.Fatalf("beside the store are %v, %v", copies, err)
	}
	if line, err := os.ReadFile(filepath.Join(copies[0], "FORMAT")); err != nil || string(line) != "fettle store format 1\n" {
		t.Errorf("the copy's format is %q, %v", line, err)
	}
}
