package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// aheadOf is how far readings may be ahead of this computer's clock: what the
// status page allows too.
const aheadOf = 10 * time.Second

// clock compares this computer's clock with the newest readings, and asks the
// system whether it keeps it right.
func clock(_ context.Context, f *facts) []Finding {
	now, ahead, worst, whose := f.Now(), 0, time.Duration(0), ""
	for _, m := range f.machines {
		if lead := m.Last.Sub(now); lead > aheadOf {
			ahead++
			if lead > worst {
				worst, whose = lead, m.Name
			}
		}
	}
	says := "it is " + now.UTC().Format(time.RFC3339)
	switch {
	case ahead > 1 && ahead == len(f.machines):
		return one("clock", Error, fmt.Sprintf("%s, but the newest readings of all %d machines are ahead of that, by up to %s", says, ahead, ago(worst)),
			"this computer's clock is slow: set it (timedatectl set-ntp true; on Windows: w32tm /resync)")
	case ahead > 0:
		return one("clock", Warning, fmt.Sprintf("%s; the newest readings of %d machines are ahead of that, %s by %s", says, ahead, whose, ago(worst)),
			"set the clock of what sends for "+whose+"; its readings are judged when their time has come")
	case !clockIsKept():
		return one("clock", Warning, says+", and the system does not synchronise its clock", "timedatectl set-ntp true, or run chrony")
	}
	return one("clock", OK, says, "")
}

// Bounds of the disk. Below tight fettle runs for days at most; below full it
// will soon refuse readings.
const (
	tight, full     = 1 << 30, 128 << 20
	slowly, crawled = 50 * time.Millisecond, time.Second // of a sync: every acknowledgement waits for one
)

// disk tells what is free where the data lies, and how long a sync takes.
func disk(_ context.Context, f *facts) []Finding {
	dir := f.Config.Data.Dir
	if f.fresh {
		return one("disk", Off, "not measured: there is no data folder yet", "")
	}
	found := one("disk", OK, "the system does not tell what is free", "")
	if free, known := freeBytes(dir); known {
		found = judgeSpace(free, dir)
	}
	took, err := syncTime(dir)
	if err != nil {
		return append(found, Finding{"disk speed", Error, fmt.Sprintf("nothing can be written into %s: %v", dir, err), "give the user that runs fettle the folder, or make room"})
	}
	return append(found, judgeSync(took)...)
}

func judgeSpace(free int64, dir string) []Finding {
	says := fmt.Sprintf("%s free for %s", size(free), dir)
	const do = "make room; retention.budget bounds what closed days take, `fettle status --disk` tells what fettle takes"
	switch {
	case free < full:
		return one("disk", Error, says+": readings will be refused when it is full", do)
	case free < tight:
		return one("disk", Warning, says, do)
	}
	return one("disk", OK, says, "")
}

func judgeSync(took time.Duration) []Finding {
	says := fmt.Sprintf("a sync takes %s (the middle one of %d)", took.Round(10*time.Microsecond), syncs)
	const do = "every acknowledgement waits for a sync: put data.dir on a local SSD, not on a network share or a worn SD card"
	switch {
	case took > crawled:
		return one("disk speed", Error, says, do)
	case took > slowly:
		return one("disk speed", Warning, says, do)
	}
	return one("disk speed", OK, says, "")
}

// syncs is how many syncs are measured.
const syncs = 5

// syncTime writes a page and syncs it, a few times, into a file that goes again.
func syncTime(dir string) (middle time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	page, took := make([]byte, 4096), []time.Duration{}
	for range syncs {
		begin := time.Now()
		if _, err := file.Write(page); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[syncs/2], nil
}

// memory compares limits.memory with what there is and what is taken.
func memory(_ context.Context, f *facts) []Finding {
	var resident int64
	if f.status != nil {
		resident = f.status.Resources.ResidentBytes
	}
	return judgeMemory(int64(f.Config.Limits.Memory), resident, memoryHere())
}

// judgeMemory: limit and has are 0 where there is none, or none is known.
func judgeMemory(limit, resident, has int64) []Finding {
	says := "limits.memory is " + size(limit)
	if limit == 0 {
		says = "limits.memory is not set"
	}
	if has > 0 {
		says += ", of " + size(has) + " that fettle may have here"
	}
	if resident > 0 {
		says += "; it holds " + size(resident)
	}
	switch {
	case has > 0 && limit > has*9/10:
		return one("memory", Warning, says, "the system may kill fettle before it saves memory: lower limits.memory, or give it more (MemoryMax, --memory)")
	case has > 0 && resident > has*9/10:
		return one("memory", Warning, says, "give fettle more memory, or lower limits.memory")
	case limit > 0 && resident > 2*limit:
		return one("memory", Warning, says, "raise limits.memory to what is held, or look for what takes it: machines, models, subscribers that do not read")
	}
	return one("memory", OK, says, "")
}

// memoryHere is what Linux lets this process have: of the computer's memory, or
// of its control group's; 0 elsewhere.
func memoryHere() int64 {
	least := int64(math.MaxInt64)
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemTotal:" {
				if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
					least = n << 10
				}
			}
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // or "max"
				least = min(least, n)
			}
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// renewBefore is when a certificate ought to have been renewed: those that
// renew themselves do it a month before the end.
const renewBefore = 14 * 24 * time.Hour

// certificates tells how long the broker's holds.
func certificates(_ context.Context, f *facts) []Finding {
	m := f.Config.MQTT
	if m.TLSCert == "" {
		return one("certificate", Off, "none is set", "")
	}
	const do = "renew it: mqtt.tls_cert and mqtt.tls_key are read anew when they change"
	pair, err := tls.LoadX509KeyPair(m.TLSCert, m.TLSKey)
	if err != nil {
		return one("certificate", Error, fmt.Sprintf("%s with %s: %v", m.TLSCert, m.TLSKey, err), "mqtt.tls_cert and mqtt.tls_key name PEM files of one pair")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return one("certificate", Error, fmt.Sprintf("%s: %v", m.TLSCert, err), do)
	}
	now, until := f.Now(), leaf.NotAfter.UTC().Format(time.RFC3339)
	switch left := leaf.NotAfter.Sub(now); {
	case now.Before(leaf.NotBefore):
		return one("certificate", Error, m.TLSCert+" holds from "+leaf.NotBefore.UTC().Format(time.RFC3339)+" on only", "look at the clock, or wait")
	case left <= 0:
		return one("certificate", Error, m.TLSCert+" ended at "+until, do)
	case left < renewBefore:
		return one("certificate", Warning, m.TLSCert+" holds until "+until, do)
	}
	return one("certificate", OK, m.TLSCert+" holds until "+until, "")
}
