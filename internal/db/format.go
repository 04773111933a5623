package db

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"fettle"
)

// formatVersion counts the layouts of the folder: Pebble's own format, and the
// keys and records of all owners. Whoever changes one so that an older binary
// would misread it raises this number; a folder of a lower one is taken over
// when it is opened, and older binaries refuse it from then on.
//
//	1  readings are rows in the store
//	2  closed days of readings are files beside it, which the store lists
const formatVersion = 2

// The version stands in a file of one line beside Pebble's own files.
const (
	formatFile   = "FORMAT"
	formatPrefix = "fettle store format "
)

// checkFormat compares the folder's version with ours, and writes ours into a
// folder that is still empty.
func checkFormat(dir string, disk vfs.FS, log *slog.Logger) error {
	line, err := readFormat(dir, disk)
	if errors.Is(err, fs.ErrNotExist) {
		return startFormat(dir, disk)
	}
	if err != nil {
		return fettle.Errorf(fettle.Unavailable, "read format of store in %s: %w", dir, err)
	}
	number, isOurs := strings.CutPrefix(line, formatPrefix)
	version, err := strconv.Atoi(strings.TrimSpace(number))
	if !isOurs || err != nil || version < 1 {
		return fettle.Errorf(fettle.Conflict, "folder %s is no store of fettle, or its file %s is damaged: it says %q, expected %q; if it is one, write that line into it, with %d for N",
			dir, formatFile, fettle.Shorten(line), formatPrefix+"N", formatVersion)
	}
	if version > formatVersion {
		return fettle.Errorf(fettle.Conflict, "folder %s has store format %d, this fettle reads up to format %d; use the newer fettle that wrote it, or another folder",
			dir, version, formatVersion)
	}
	if version < formatVersion {
		if err := writeFormat(dir, disk); err != nil {
			return fettle.Errorf(fettle.Unavailable, "take over store in %s: %w", dir, err)
		}
		log.Info("took over a store of an older format; older versions of fettle cannot open it any more", "folder", dir, "from", version, "to", formatVersion)
	}
	return nil
}

// startFormat is for a folder without a version. It gets ours before Pebble
// writes its first file, so a folder with those and no version is not ours.
func startFormat(dir string, disk vfs.FS) error {
	found, err := pebble.Peek(dir, disk)
	if err != nil {
		return fettle.Errorf(fettle.Unavailable, "look into store folder %s: %w", dir, err)
	}
	if found.Exists {
		return fettle.Errorf(fettle.Conflict, "folder %s holds a Pebble store without the file %s, so it is no store of fettle; use another folder, or, if it is one that has lost this file, write the line %q into it", dir, formatFile, fmt.Sprint(formatPrefix, formatVersion))
	}
	if err := writeFormat(dir, disk); err != nil {
		return fettle.Errorf(fettle.Unavailable, "write format of store in %s: %w", dir, err)
	}
	return nil
}

func readFormat(dir string, disk vfs.FS) (string, error) {
	file, err := disk.Open(disk.PathJoin(dir, formatFile))
	if err != nil {
		return "", err
	}
	line, err := io.ReadAll(io.LimitReader(file, 100))
	return string(line), errors.Join(err, file.Close())
}

// writeFormat writes the file whole or not at all.
func writeFormat(dir string, disk vfs.FS) error {
	name := disk.PathJoin(dir, formatFile)
	file, err := disk.Create(name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s%d\n", formatPrefix, formatVersion)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := disk.Rename(name+".new", name); err != nil {
		return err
	}
	folder, err := disk.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
