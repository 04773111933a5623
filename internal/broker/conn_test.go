package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
)

func TestConnSendsInOrder(t *testing.T) {
	here, there := net.Pipe()
	c := newConn(here)
	var want bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(io.MultiWriter(&want, c), "%d,", i)
	}
	c.Close() // and still sends what was written
	got, err := io.ReadAll(there)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("got %d bytes and %v, want %d in order", len(got), err, want.Len())
	}
	c.wait()
}

func TestConnWriteNeverWaits(t *testing.T) {
	here, _ := net.Pipe() // nobody reads
	c := newConn(here)
	var err error
	for n := 0; err == nil; n++ {
		if n > 2*overflowAt/1024 {
			t.Fatal("it takes bytes for ever")
		}
		_, err = c.Write(make([]byte, 1024))
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the overflow: %v, want a closed connection", err)
	}
	c.wait()
}

func TestConnLetsGoOfAClientThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		c := newConn(here)
		began := time.Now()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("read without an error")
		}
		c.wait()
		if took := time.Since(began); took != writeTime {
			t.Errorf("let go after %v, want %v", took, writeTime)
		}
	})
}

func TestLogsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		log := slog.New(&fewHandler{next: slog.NewTextHandler(&text, nil), seen: &seen{}})
		for range 100 {
			log.Warn("refused")
			log.With("client", "x").Warn("gone")
		}
		time.Sleep(logEvery)
		log.Warn("refused")
		for line, want := range map[string]int{"msg=refused": 2, "msg=gone": 1, "like_it=99": 1} {
			if got := strings.Count(text.String(), line); got != want {
				t.Errorf("%s is there %d times, want %d", line, got, want)
			}
		}
	})
}

func TestMochiLogsHideWhatIsPrivate(t *testing.T) {
	var text strings.Builder
	log := slog.New(mochiHandler{slog.NewTextHandler(&text, nil)}).With("hook", "fettle")
	log.Info("nobody asked")
	log.Warn("error processing packet", "pk", "s3cret")
	log.Warn(mqtt.ErrMinimumKeepalive.Error())
	log.Warn("publish packet error", "error", io.EOF, "client", "c", "packet", "s3cret")
	if got, want := text.String(), "publish packet error"; strings.Count(got, "\n") != 1 || !strings.Contains(got, want) ||
		!strings.Contains(got, "err=EOF client=c") || strings.Contains(got, "s3cret") {
		t.Errorf("logged\n%s", got)
	}
}
