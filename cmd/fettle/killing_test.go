//go:build peers_light || peers

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/process"
)

// A killing is one run of TestKill.
type killing struct {
	t              *testing.T
	draw           *rand.Rand
	binary, folder string
	books          []*book
	witness        *witness
	backups        int
	checked        string // what the last check said
}

func (k *killing) start() *process.Server {
	k.t.Helper()
	server, err := process.Start(k.t.Context(), k.binary, k.folder)
	if err != nil {
		k.t.Fatal(err)
	}
	return server
}

// killAtStart kills a server that is about to recover from the last kill, or
// has just done so.
func (k *killing) killAtStart() {
	ctx, cancel := context.WithTimeout(k.t.Context(), time.Duration(k.draw.Int64N(int64(200*time.Millisecond))))
	defer cancel()
	if server, err := process.Start(ctx, k.binary, k.folder); err == nil {
		server.Kill()
	}
}

// killUnderLoad lets all senders loose on the server, and kills it once it has
// acknowledged so many messages: for all but the sender of the last that is any
// moment.
func (k *killing) killUnderLoad(server *process.Server, enough int64) {
	k.t.Helper()
	ctx, cancel := context.WithCancel(k.t.Context())
	defer cancel()
	var killed atomic.Bool
	var senders errgroup.Group
	run := func(name string, work func(context.Context) error) {
		senders.Go(func() error {
			if err := work(ctx); err != nil && !killed.Load() {
				cancel()
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	reached := newGoal(enough)
	for _, b := range k.books {
		b.goal = reached
		run(b.machine, func(ctx context.Context) error { return b.send(ctx, server.Server, b) })
	}
	run("backups", func(ctx context.Context) error { return k.backUp(ctx, server) })
	run("reader", func(ctx context.Context) error { return k.witness.watch(ctx, server) })
	select {
	case <-reached.done:
	case <-ctx.Done():
	}
	killed.Store(true)
	server.Kill()
	cancel()
	if err := senders.Wait(); err != nil {
		k.t.Fatalf("%v\nthe server said:\n%s", err, server.Log())
	}
	if strings.Contains(server.Log(), "panic") {
		k.t.Errorf("the server said:\n%s", server.Log())
	}
}

// backUp makes backups, one after the other.
func (k *killing) backUp(ctx context.Context, server *process.Server) error {
	for {
		k.backups++
		dir := filepath.Join(filepath.Dir(k.folder), fmt.Sprint("backup-", k.backups))
		if _, err := server.Command(ctx, "backup", dir); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
}

// sound asks fettle itself whether all readings are as they should be.
func (k *killing) sound(server *process.Server) {
	k.t.Helper()
	out, err := server.Command(k.t.Context(), "check")
	if err != nil {
		k.t.Fatalf("fettle check: %v\n%s", err, out)
	}
	k.checked = out
}

// commandsBesideNobody: the note of the server that was killed is still there
// and fools no command.
func (k *killing) commandsBesideNobody(dead *process.Server) {
	k.t.Helper()
	if note, err := config.ReadServer(k.folder); err != nil || note.PID != dead.PID {
		k.t.Errorf("the note of the killed server (pid %d) is %+v (%v)", dead.PID, note, err)
	}
	if out, err := dead.Command(k.t.Context(), "status"); err == nil || !strings.Contains(err.Error(), "no server runs on") {
		k.t.Errorf("fettle status without a server: %v\n%s", err, out)
	}
	out, err := dead.Command(k.t.Context(), "query", "--count", "--json")
	if err != nil {
		k.t.Fatal(err)
	}
	var counts []counted
	if err := json.Unmarshal([]byte(out), &counts); err != nil {
		k.t.Fatalf("%v: %s", err, out)
	}
	for _, c := range counts {
		if b := k.book(c.Machine); b == nil || c.Rows > b.mostRows() || c.Rows < b.leastRows() {
			k.t.Errorf("fettle query counts %d rows of %s", c.Rows, c.Machine)
		}
	}
}

func (k *killing) book(machine string) *book {
	for _, b := range k.books {
		if b.machine == machine {
			return b
		}
	}
	return nil
}

// recovered checks all that a server that was started again answers.
func (k *killing) recovered(server *process.Server) {
	k.t.Helper()
	k.complete()
	k.sound(server)
	for _, b := range k.books {
		if b.acknowledged.Load() > 0 {
			k.judged(server, b.machine)
		}
	}
	if err := k.witness.still(k.t.Context(), server); err != nil {
		k.t.Fatal(err)
	}
}

// complete holds what is stored against the senders' books. It asks whoever
// holds the folder: the server, or nobody.
func (k *killing) complete() {
	k.t.Helper()
	data, err := openBackend(k.t.Context(), config.Data{Dir: k.folder}, true)
	if err != nil {
		k.t.Fatal(err)
	}
	defer data.Close()
	machines, err := data.Machines(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	stored := map[string]int64{}
	for _, m := range machines {
		stored[m.Name] = m.Rows
	}
	for _, b := range k.books {
		rows, err := b.compare(k.t.Context(), data)
		if _, found := stored[b.machine]; !found && b.acknowledged.Load() == 0 {
			continue
		}
		if err != nil {
			k.t.Errorf("%s: %v", b.machine, err)
		}
		if stored[b.machine] != rows {
			k.t.Errorf("%s has %d rows, and counts %d", b.machine, rows, stored[b.machine])
		}
		delete(stored, b.machine)
	}
	if len(stored) > 0 {
		k.t.Errorf("machines that nobody sent: %v", slices.Collect(maps.Keys(stored)))
	}
	if k.t.Failed() {
		k.t.FailNow()
	}
}

// judged waits until the newest reading of a machine has its verdict, the newest
// that there is.
func (k *killing) judged(server *process.Server, machine string) {
	k.t.Helper()
	err := process.WaitFor(k.t.Context(), machine+" to be judged", func() (bool, error) {
		var about fettle.Machine
		var list struct{ Verdicts []fettle.Verdict }
		if err := server.Get(k.t.Context(), "/api/v1/machines/"+machine, &about); err != nil {
			return false, err
		}
		if err := server.Get(k.t.Context(), "/api/v1/machines/"+machine+"/verdicts?last=1", &list); err != nil {
			return false, err
		}
		return len(list.Verdicts) == 1 && list.Verdicts[0].Time.Equal(about.Last), nil
	})
	if err != nil {
		k.t.Fatalf("%v\nthe server said:\n%s", err, server.Log())
	}
}
