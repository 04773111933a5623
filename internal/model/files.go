package model

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"fettle"
)

// Limits of a version's files, in bytes; larger ones are refused.
const (
	maxWeights = 2 << 30
	maxOther   = 64 << 20
	maxEntries = 256 // entries in a version's folder
)

// limitOf is the most that a file of this name may hold.
func limitOf(name string) int64 {
	switch name {
	case weightsFile:
		return maxWeights
	case cardFile:
		return maxCard
	case scalerJSON, scalerPickle:
		return maxScaler
	default:
		return maxOther
	}
}

// checkFile refuses what is not a plain file of at most limit bytes. A
// symbolic link is refused because what it points to can change, or lie
// outside, without the folder showing it.
func checkFile(path string, limit int64) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return fettle.Errorf(fettle.Invalid, "%s is a symbolic link; copy the file itself", path)
	case !info.Mode().IsRegular():
		return fettle.Errorf(fettle.Invalid, "%s is no plain file", path)
	case info.Size() > limit:
		return fettle.Errorf(fettle.Invalid, "%s is %d bytes; at most %d are read", path, info.Size(), limit)
	}
	return nil
}

// exists tells whether anything has this path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// readFile reads a plain file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	if err := checkFile(path, limit); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// It may have grown since it was looked at.
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fettle.Errorf(fettle.Invalid, "%s is over %d bytes", path, limit)
	}
	return data, err
}

// copyFile copies a plain file of at most limit bytes.
func copyFile(to, from string, limit int64) error {
	if err := checkFile(from, limit); err != nil {
		return err
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(target, io.LimitReader(source, limit+1))
	if err == nil && n > limit {
		err = fettle.Errorf(fettle.Invalid, "%s is over %d bytes", from, limit)
	}
	return errors.Join(err, target.Close())
}

// hashFile is the SHA-256 of a file, in hex.
func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// syncTree puts a folder's files and the folder itself on the disk.
func syncTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is no plain file", filepath.Join(dir, entry.Name()))
		}
		// Windows syncs only what is open for writing.
		file, err := os.OpenFile(filepath.Join(dir, entry.Name()), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			return err
		}
	}
	return syncFolder(dir)
}

// syncFolder puts a folder's list of names on the disk. Windows keeps it by
// itself, and does not let a folder be opened for it.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
