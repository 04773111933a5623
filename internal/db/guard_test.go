package db

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fettle"
)

// mustOpen opens a store on a disk that is to be filled up and broken.
func (m MemoryDisk) mustOpen(t *testing.T) *DB {
	t.Helper()
	db, err := m.Open("store", Options{MemTableBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestFullDiskNoticedInTime(t *testing.T) {
	disk := NewMemoryDisk()
	d := disk.mustOpen(t)
	defer d.Close()
	mustPut(t, d, "a=1")

	disk.Set(Fault{Free: 5 << 20})
	wantKind(t, put(d, "b", "2", Synced), fettle.Unavailable, "full", "5 MiB free", "needs 32 MiB", "store")
	wantKind(t, d.Trouble(), fettle.Unavailable, "full")
	wantKind(t, d.Checkpoint("copy"), fettle.Unavailable, "full")
	wantList(t, d, "a=1")

	disk.Set(Fault{Free: 1 << 30})
	mustPut(t, d, "c=3")
	wantList(t, d, "a=1", "c=3")
}

// Pebble flushes its log while it opens: on a full disk it would go on trying.
func TestFullDiskEndsOpening(t *testing.T) {
	for _, files := range []string{".sst", ".log"} {
		disk := NewMemoryDisk()
		d := disk.mustOpen(t)
		mustPut(t, d, "a=1")
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		disk.Set(Fault{Err: syscall.ENOSPC, Of: files})
		_, err := disk.Open("store", Options{})
		wantKind(t, err, fettle.Unavailable, "open store", "check its disk", "no space left")

		disk.Set(Fault{})
		d = disk.mustOpen(t)
		wantList(t, d, "a=1")
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The commit that meets a full disk waits; the others are refused until there
// is room. Then everything goes on, and nothing is missing.
func TestFullDiskBySurprise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := NewMemoryDisk()
		d := disk.mustOpen(t)
		mustPut(t, d, "a=1")

		disk.Set(Fault{Err: syscall.ENOSPC, Of: ".log"})
		first := make(chan error, 1)
		go func() { first <- put(d, "b", "2", Synced) }()
		for d.Trouble() == nil {
			time.Sleep(time.Millisecond)
		}
		wantKind(t, put(d, "c", "3", Synced), fettle.Unavailable, "full")
		time.Sleep(time.Hour)
		select {
		case err := <-first:
			t.Fatalf("commit on a full disk returned %v", err)
		default:
		}

		disk.Set(Fault{})
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		mustPut(t, d, "d=4")
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = disk.mustOpen(t)
		defer d.Close()
		wantList(t, d, "a=1", "b=2", "d=4")
	})
}

// A disk that is full for table files only: commits go on while memory lasts,
// are refused as long as the flush waits, and nothing acknowledged is missing.
func TestFullDiskWhileFlushing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := NewMemoryDisk()
		d := disk.mustOpen(t)
		big := strings.Repeat("x", 50<<10)
		var stored []string
		refused := 0
		for i := range 100 {
			switch i {
			case 30:
				disk.Set(Fault{Err: syscall.ENOSPC, Of: ".sst"})
			case 60:
				disk.Set(Fault{})
				time.Sleep(time.Minute)
			}
			key := fmt.Sprintf("%03d", i)
			err := put(d, key, big, Synced)
			synctest.Wait()
			if err != nil {
				wantKind(t, err, fettle.Unavailable, "full")
				refused++
				continue
			}
			stored = append(stored, key+"="+big)
		}
		if refused == 0 || refused >= 30 {
			t.Errorf("%d commits were refused, expected some of the 30 on a full disk", refused)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = disk.mustOpen(t)
		defer d.Close()
		wantList(t, d, stored...)
	})
}

// stuck tells when a commit may be waiting for a full disk.
func (d *DB) stuck() <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		for d.guard.waiting.Load() == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return c
}

// After a write or sync failed for good, the process lives, nobody hangs, and
// the folder opens again with everything that was acknowledged.
func TestBrokenDisk(t *testing.T) {
	for _, files := range []string{".log", ".sst", ""} {
		disk := NewMemoryDisk()
		d := disk.mustOpen(t)
		big := bytes.Repeat([]byte("x"), 50<<10)
		acknowledged := []string{}
		commit := func(key string) error {
			b := d.NewBatch()
			b.Set([]byte(key), big)
			err := d.Commit(b, Synced)
			if err == nil {
				acknowledged = append(acknowledged, key+"="+string(big))
			}
			return err
		}
		for i := range 8 {
			if err := commit(fmt.Sprintf("a%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		disk.Set(Fault{Err: syscall.EIO, Of: files})
		var err error
		for i := 0; err == nil; i++ {
			err = commit(fmt.Sprintf("b%d", i))
		}
		wantKind(t, err, fettle.Unavailable, "stopped writing", "input/output error")
		wantKind(t, commit("c"), fettle.Unavailable, "stopped writing")
		wantKind(t, d.Trouble(), fettle.Unavailable, "stopped writing")
		if _, found, err := d.Get([]byte("a1")); !found || err != nil {
			t.Errorf("%q: Get on a broken disk: %v, %v", files, found, err)
		}
		wantKind(t, d.Close(), fettle.Unavailable, "stopped writing")

		disk.Set(Fault{})
		d = disk.mustOpen(t)
		got := list(t, d)
		for _, record := range acknowledged {
			if len(got) == 0 || got[0] != record {
				t.Fatalf("%q: acknowledged record %s is gone", files, record[:5])
			}
			got = got[1:]
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseWhileDiskIsFull(t *testing.T) {
	disk := NewMemoryDisk()
	d := disk.mustOpen(t)
	mustPut(t, d, "a=1")
	disk.Set(Fault{Err: syscall.ENOSPC})
	waiting := make(chan error, 1)
	go func() { waiting <- put(d, "b", "2", Synced) }()
	<-d.stuck()
	wantKind(t, d.Close(), fettle.Unavailable, "closed while the disk was full")
	wantKind(t, <-waiting, fettle.Unavailable, "closed while the disk was full")

	disk.Set(Fault{})
	d = disk.mustOpen(t)
	defer d.Close()
	if records := list(t, d); len(records) == 0 || records[0] != "a=1" {
		t.Errorf("records are %q, expected a=1 first", records)
	}
}
