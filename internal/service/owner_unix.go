//go:build unix

package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// ActAsOwner has root become the user to whom a data folder belongs, so that the
// service of that user can open what a command leaves in it. It returns that
// user's name; empty if nothing changed: for other users, in a folder of root's,
// and before there is one.
func ActAsOwner(dir string) (name string, err error) {
	if os.Geteuid() != 0 {
		return "", nil
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at the data folder: %w", err)
	}
	of, known := info.Sys().(*syscall.Stat_t)
	if !known || of.Uid == 0 {
		return "", nil
	}
	name, home := strconv.Itoa(int(of.Uid)), dir
	if u, err := user.LookupId(name); err == nil {
		name, home = u.Username, u.HomeDir
	}
	// In this order: it takes root to change groups.
	err = errors.Join(syscall.Setgroups([]int{int(of.Gid)}), syscall.Setgid(int(of.Gid)), syscall.Setuid(int(of.Uid)), os.Setenv("HOME", home))
	if err != nil {
		return "", fmt.Errorf("become %s, to whom the data folder %s belongs: %w", name, dir, err)
	}
	return name, nil
}
