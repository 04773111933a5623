package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fettle"
)

var asStream = header("Accept", "text/event-stream")

// A tape is an answer that a test reads while it is being written.
type tape struct {
	mu      sync.Mutex
	header  http.Header
	text    strings.Builder
	flushed int // bytes
}

func (t *tape) Header() http.Header { return t.header }
func (t *tape) WriteHeader(int)     {}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *tape) Flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushed = t.text.Len()
}

// sent is what has left the server.
func (t *tape) sent() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()[:t.flushed]
}

func (r rig) happens(t *testing.T, kind fettle.EventKind, machine string, data any) uint64 {
	t.Helper()
	if err := r.Events.Append(kind, machine, data); err != nil {
		t.Fatal(err)
	}
	return r.Events.LastNumber()
}

// A stream greets, beats while nothing happens, carries each event, and ends
// with its client.
func TestStream(t *testing.T) {
	rig := newRig(t)
	rig.happens(t, fettle.EventAlarm, "lathe", "before")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		w := &tape{header: http.Header{}}
		go rig.Handler(false).ServeHTTP(w, request("GET", "/api/v1/events", "", asStream).WithContext(ctx))
		synctest.Wait()
		want := "retry: 3000\n: here\n\n"
		if w.sent() != want {
			t.Errorf("greeting %q", w.sent())
		}
		for name, value := range map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"} {
			if w.Header().Get(name) != value {
				t.Errorf("%s: %q", name, w.Header().Get(name))
			}
		}
		time.Sleep(heartbeat)
		synctest.Wait()
		want += ": still here\n\n"
		if w.sent() != want {
			t.Errorf("after 15 s: %q, want %q", w.sent(), want)
		}
		n := rig.happens(t, fettle.EventVerdict, "lathe", fettle.Verdict{Machine: "lathe", Time: noon, Score: 0.5})
		synctest.Wait()
		want += fmt.Sprintf("id: %d\nevent: verdict\ndata: ", n) +
			fmt.Sprintf(`{"number":%d,"time":"2025-11-25T12:00:00Z","kind":"verdict","machine":"lathe","data":{"machine":"lathe","time":"2025-11-25T12:00:00Z","score":0.5}}`, n) + "\n\n"
		if w.sent() != want {
			t.Errorf("after an event: %q, want %q", w.sent(), want)
		}
		stop()
	})
}

func TestHeadOfAStreamEnds(t *testing.T) {
	if w := newRig(t).do("HEAD", "/api/v1/events", "", asStream); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestStreamsAreLimited(t *testing.T) {
	rig := newRig(t)
	for range maxStreams {
		rig.streams <- struct{}{}
	}
	w := rig.get("/api/v1/events", asStream)
	if p := problem(t, "one too many", w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); p.Status != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %+v", p)
	}
	<-rig.streams
	if w := rig.get("/api/v1/events"); w.Code != 200 || len(rig.streams) != maxStreams-1 {
		t.Errorf("with a free place: %d, %d taken", w.Code, len(rig.streams))
	}
}

// Where a reader goes on.
func TestResume(t *testing.T) {
	rig := newRig(t)
	first := rig.happens(t, fettle.EventAlarm, "lathe", "first")
	second := rig.happens(t, fettle.EventAlarm, "mill", "second")
	third := rig.happens(t, fettle.EventModel, "lathe", "third")
	for _, c := range []struct {
		query  string
		lastID string
		want   []uint64
		last   uint64
	}{
		{"", "", nil, third},
		{"?after=0", "", []uint64{first, second, third}, third},
		{fmt.Sprint("?after=", first), "", []uint64{second, third}, third},
		{"?after=0&kinds=alarm", "", []uint64{first, second}, second},
		{"?after=0&kinds=model,alarm&machine=lathe", "", []uint64{first, third}, third},
		{fmt.Sprint("?after=", third+1000), "", nil, third}, // of a log that is gone
		{"", fmt.Sprint(second), []uint64{third}, third},
		{"", "nonsense", nil, third},
		{fmt.Sprint("?after=", second), "0", []uint64{third}, third},
	} {
		w := rig.get("/api/v1/events"+c.query, header("Last-Event-ID", c.lastID))
		var got eventList
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Events == nil {
			t.Errorf("%s: %d %s", c.query, w.Code, w.Body)
		}
		var numbers []uint64
		for _, e := range got.Events {
			numbers = append(numbers, e.Number)
		}
		if fmt.Sprint(numbers) != fmt.Sprint(c.want) || got.Last != c.last {
			t.Errorf("%s, Last-Event-ID %q: %v, last %d, want %v, last %d", c.query, c.lastID, numbers, got.Last, c.want, c.last)
		}
	}
}

// A poll waits as long as it was told, and not a moment longer than it must.
func TestPollWaits(t *testing.T) {
	rig := newRig(t)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if w := rig.get("/api/v1/events?wait=20s"); w.Code != 200 || !strings.Contains(w.Body.String(), `"events":[]`) {
			t.Errorf("nothing happened: %d %s", w.Code, w.Body)
		}
		if waited := time.Since(begin); waited != 20*time.Second {
			t.Errorf("waited %s", waited)
		}
		go func() {
			time.Sleep(3 * time.Second)
			rig.happens(t, fettle.EventVerdict, "lathe", "news")
		}()
		begin = time.Now()
		if w := rig.get("/api/v1/events?wait=60s"); !strings.Contains(w.Body.String(), "news") {
			t.Errorf("something happened: %s", w.Body)
		}
		if waited := time.Since(begin); waited != 3*time.Second {
			t.Errorf("waited %s", waited)
		}
	})
}

// follow opens a stream through real connections and reads its greeting.
func (r rig) follow(t *testing.T, ctx context.Context, changes ...change) *bufio.Reader {
	t.Helper()
	server := httptest.NewUnstartedServer(r.Handler(false))
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	t.Cleanup(server.Close)
	req, err := http.NewRequest("GET", server.URL+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(changes, asStream) {
		c(req)
	}
	answer, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	stream := bufio.NewReader(answer.Body)
	for _, want := range []string{"retry: 3000\n", ": here\n", "\n"} {
		if line, err := stream.ReadString('\n'); line != want {
			t.Fatalf("greeting %q, %v, want %q", line, err, want)
		}
	}
	return stream
}

// A stream passes on each event when it happens, and ends with the server.
func TestStreamOverTheWire(t *testing.T) {
	rig := newRig(t)
	ctx, stop := context.WithCancel(t.Context())
	stream := rig.follow(t, ctx)
	n := rig.happens(t, fettle.EventAlarm, "lathe", "now")
	if line, err := stream.ReadString('\n'); line != fmt.Sprintf("id: %d\n", n) {
		t.Errorf("got %q, %v", line, err)
	}
	stop()
	if _, err := io.ReadAll(stream); err != nil {
		t.Errorf("the stream did not end well: %v", err)
	}
}

// A stream ends with the key that opened it, before another event goes out.
func TestStreamEndsWithItsKey(t *testing.T) {
	rig := newRig(t)
	text, key, err := rig.Keys.Create("phone", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream := rig.follow(t, t.Context(), tunnelled, withKey(text))
	if err := rig.Keys.Revoke(key.ID); err != nil {
		t.Fatal(err)
	}
	rig.happens(t, fettle.EventVerdict, "lathe", "secret")
	if rest, err := io.ReadAll(stream); err != nil || len(rest) > 0 {
		t.Errorf("after its key was revoked the stream goes on: %q, %v", rest, err)
	}
}
