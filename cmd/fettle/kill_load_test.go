//go:build peers_light || peers

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync/atomic"
	"time"

	"fettle"
	"fettle/internal/bridge"
	"fettle/internal/config"
	"fettle/internal/process"
)

// A book is what a sender knows of its machine's messages, which are numbered
// from 0 on: those before handed may have reached the server, those before
// acknowledged have. After a kill the sender begins again with the first that
// was not acknowledged, so that some are sent twice.
type book struct {
	machine              string
	step                 time.Duration                                     // from row to row
	send                 func(context.Context, config.Server, *book) error // until the server is gone
	acknowledged, handed atomic.Int64
	goal                 *goal
}

// newBooks are the senders: our own client, waiting for each acknowledgement or
// with a hundred under way, plain HTTP, and Mosquitto's at QoS 1 and 2.
func newBooks() []*book {
	return []*book{
		{machine: "one-by-one-1", step: time.Second, send: publishWith(1)},
		{machine: "one-by-one-2", step: time.Second, send: publishWith(1)},
		{machine: "window-1", step: time.Second, send: publishWith(100)},
		{machine: "window-days", step: lapse, send: publishWith(100)},
		{machine: "posted", step: time.Second, send: postAll},
		{machine: "posted-days", step: lapse, send: postAll},
		{machine: "mosquitto-1", step: time.Second, send: mosquittoAll("1")},
		{machine: "mosquitto-2", step: time.Second, send: mosquittoAll("2")},
	}
}

// A goal is reached once so many messages are acknowledged, whosever they are.
type goal struct {
	left atomic.Int64
	done chan struct{}
}

func newGoal(n int64) *goal {
	g := &goal{done: make(chan struct{})}
	g.left.Store(n)
	return g
}

// hand books that all messages before a number may reach the server from now on.
func (b *book) hand(before int64) { b.handed.Store(max(before, b.handed.Load())) }

// acknowledge books that all messages before a number are acknowledged.
func (b *book) acknowledge(before int64) {
	more := before - b.acknowledged.Swap(before)
	if left := b.goal.left.Add(-more); left <= 0 && left+more > 0 {
		close(b.goal.done)
	}
}

// Two messages make a row, one a sensor each.
func (b *book) leastRows() int64 { return (b.acknowledged.Load() + 1) / 2 }
func (b *book) mostRows() int64  { return (b.handed.Load() + 1) / 2 }

// lapse is the step of machines whose days go by so fast that they are closed,
// sealed and kept while they are sent.
const lapse = 10 * time.Minute

// firstRow is so long ago that no machine gets ahead of the clock.
var firstRow = time.Date(2005, 3, 3, 7, 0, 0, 0, time.UTC)

func (b *book) rowTime(row int64) time.Time {
	return firstRow.Add(time.Duration(row) * b.step)
}

func sensorOf(message int64) string { return []string{"flow", "heat"}[message%2] }

// valueOf is what a message says: a rhythm and some noise, and now and then a
// minute of trouble for an alarm to rise and clear.
func valueOf(message int64) float64 {
	row := message / 2
	value := 20 + 5*math.Sin(float64(row)/7) + float64(message*7919%101)/100
	if row >= 300 && row%400 < 60 {
		value += 40
	}
	return value
}

func (b *book) payload(message int64) []byte {
	text, err := json.Marshal(map[string]any{"workspace_id": b.machine, "timestamp": b.rowTime(message / 2), sensorOf(message): valueOf(message)})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return text
}

// compare holds a machine's stored rows against the book, and counts them.
func (b *book) compare(ctx context.Context, data backend) (rows int64, err error) {
	handed, acknowledged := b.handed.Load(), b.acknowledged.Load()
	found := make([]bool, handed)
	last := int64(-1)
	err = data.Readings(ctx, b.machine, stretch{}, func(r fettle.Reading) error {
		rows++
		row := int64(r.Time.Sub(firstRow) / b.step)
		if row <= last || !r.Time.Equal(b.rowTime(row)) {
			return fmt.Errorf("row %d, %s, after row %d", row, r.Time, last)
		}
		last = row
		for _, v := range r.Values {
			message := 2 * row
			if v.Sensor != sensorOf(message) {
				message++
			}
			if message >= handed || v.Sensor != sensorOf(message) || v.Value != valueOf(message) {
				return fmt.Errorf("row %d has %s %v, which nobody sent", row, v.Sensor, v.Value)
			}
			found[message] = true
		}
		return nil
	})
	if err != nil {
		return rows, err
	}
	for message := range acknowledged {
		if !found[message] {
			return rows, fmt.Errorf("message %d is lost; %d were acknowledged, %d sent", message, acknowledged, handed)
		}
	}
	return rows, nil
}

// publishWith sends through fettle's own client. MQTT acknowledges in the order
// of sending, so their number tells which messages are.
func publishWith(window int) func(context.Context, config.Server, *book) error {
	return func(ctx context.Context, to config.Server, b *book) error {
		client, err := bridge.Dial(ctx, bridge.Options{URL: to.MQTT, Window: window})
		if err != nil {
			return err
		}
		defer client.Close()
		first := b.acknowledged.Load()
		for n := first; ; n++ {
			b.hand(n + 1)
			err := client.Publish(ctx, "fettle/"+b.machine+"/readings", b.payload(n), 1)
			stats := client.Stats()
			b.acknowledge(first + stats.Acknowledged)
			if stats.Refused > 0 {
				return fmt.Errorf("%d messages refused", stats.Refused)
			}
			if err != nil {
				return err
			}
		}
	}
}

// postAll sends arrays of messages by HTTP, longer and longer ones.
func postAll(ctx context.Context, to config.Server, b *book) error {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for size := int64(1); ; size = size%20 + 1 {
		first := b.acknowledged.Load()
		var messages [][]byte
		for n := first; n < first+size; n++ {
			messages = append(messages, b.payload(n))
		}
		body := "[" + string(bytes.Join(messages, []byte(","))) + "]"
		b.hand(first + size)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+to.HTTP+"/api/v1/readings", bytes.NewBufferString(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusNoContent {
			return fmt.Errorf("%s: %s (%w)", response.Status, answer, err)
		}
		b.acknowledge(first + size)
	}
}

// mosquittoAll starts one mosquitto_pub after the other, at a QoS. Each ends well
// once its message is acknowledged, at QoS 2 once the whole exchange is over.
func mosquittoAll(qos string) func(context.Context, config.Server, *book) error {
	return func(ctx context.Context, to config.Server, b *book) error {
		host, port, err := net.SplitHostPort(to.MQTT)
		if err != nil {
			return err
		}
		for n := b.acknowledged.Load(); ; n++ {
			b.hand(n + 1)
			version := []string{"mqttv311", "mqttv5"}[n%2]
			out, err := exec.CommandContext(ctx, "mosquitto_pub", "-h", host, "-p", port, "-V", version, "-q", qos, "-t", "sensor/data", "-m", string(b.payload(n))).CombinedOutput()
			if err != nil {
				return fmt.Errorf("mosquitto_pub: %w: %s", err, out)
			}
			b.acknowledge(n + 1)
		}
	}
}

// A witness reads alarms and events like a client that was there all the time,
// and answers alarms. What it was told once must stay true.
type witness struct {
	alarms map[uint64]fettle.Alarm
	events map[uint64]string // by number: what else an event is known by
	last   uint64            // number of the newest event
}

func newWitness() *witness {
	return &witness{alarms: map[uint64]fettle.Alarm{}, events: map[uint64]string{}}
}

// watch looks again and again until the server is gone.
func (w *witness) watch(ctx context.Context, server *process.Server) error {
	for {
		if err := w.look(ctx, server, "5s"); err != nil {
			return err
		}
		for id, a := range w.alarms {
			if a.Unanswered() {
				if err := w.acknowledge(ctx, server, id); err != nil {
					return err
				}
				break
			}
		}
	}
}

// still looks once.
func (w *witness) still(ctx context.Context, server *process.Server) error {
	return w.look(ctx, server, "0s")
}

func (w *witness) look(ctx context.Context, server *process.Server, wait string) error {
	var polled struct {
		Events []fettle.Event
		Last   uint64
	}
	if err := server.Get(ctx, "/api/v1/events?wait="+wait+"&after="+strconv.FormatUint(w.last, 10), &polled); err != nil {
		return err
	}
	for _, e := range polled.Events {
		is := fmt.Sprint(e.Kind, " ", e.Machine, " ", e.Time, " ", string(e.Data))
		if was, known := w.events[e.Number]; known && was != is || e.Number <= w.last {
			return fmt.Errorf("event %d after %d is %s; it was %s", e.Number, w.last, is, was)
		}
		w.events[e.Number], w.last = is, e.Number
	}
	var list struct{ Alarms []fettle.Alarm }
	if err := server.Get(ctx, "/api/v1/alarms?state=all&limit=10000", &list); err != nil {
		return err
	}
	return w.compare(list.Alarms)
}

// compare: an alarm never goes, and never becomes another; no cause of a machine
// has two that are open.
func (w *witness) compare(list []fettle.Alarm) error {
	now, open := map[uint64]fettle.Alarm{}, map[string]uint64{}
	for _, a := range list {
		now[a.ID] = a
		if other, found := open[a.Machine+" "+a.Cause]; found && a.Open() {
			return fmt.Errorf("alarms %d and %d are open for the %s of %s", other, a.ID, a.Cause, a.Machine)
		}
		if a.Open() {
			open[a.Machine+" "+a.Cause] = a.ID
		}
	}
	for id, was := range w.alarms {
		is := now[id]
		same := is.Machine == was.Machine && is.Cause == was.Cause && is.RaisedAt.Equal(was.RaisedAt)
		if !same || is.Unanswered() && !was.Unanswered() || is.Open() && !was.Open() {
			return fmt.Errorf("alarm %d was %+v and is %+v", id, was, is)
		}
	}
	w.alarms = now
	return nil
}

func (w *witness) acknowledge(ctx context.Context, server *process.Server, id uint64) error {
	path := fmt.Sprintf("http://%s/api/v1/alarms/%d/acknowledge", server.HTTP, id)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answered fettle.Alarm
	if err := json.NewDecoder(response.Body).Decode(&answered); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("acknowledge alarm %d: %s (%w)", id, response.Status, err)
	}
	w.alarms[id] = answered
	return nil
}
