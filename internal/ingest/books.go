package ingest

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"fettle"
	"fettle/internal/codec"
	"fettle/internal/readings"
)

// Bounds of what is kept of refusals.
const (
	keptRejections = 100
	keptPayload    = 1 << 10 // bytes
	keptReasons    = 64      // different ones; others are counted together
)

// Stats count what came to the gate since the start.
type Stats struct {
	Messages    int64            // handed in as readings: calls of Submit and Offer
	Rows        int64            // stored: New + Merged
	New         int64            // rows that were new
	Merged      int64            // rows merged into one of the same machine and time
	Late        int64            // of both: older than their machine's watermark
	Dropped     int64            // readings nobody waited for, lost for want of room or to a failed commit
	TagsDropped int64            // rows stored without their tags, see readings.MaxTagSets
	Refused     map[string]int64 // by reason
	QueueBytes  int              // waiting for their commit now
	Commits     int64

	MessagesPerSecond float64 // over the last 10 s
	RowsPerSecond     float64
}

// A Rejection is a message or a reading that was refused.
type Rejection struct {
	Time    time.Time `json:"time" doc:"Wall clock"`
	Source  string    `json:"source" doc:"Topic or address it came from; its machine, if it was readable"`
	Reason  string    `json:"reason" doc:"What it is counted by"`
	Error   string    `json:"error"`
	Payload string    `json:"payload" doc:"Its first 1,024 bytes, anything but UTF-8 replaced"`
}

// books keep the counts.
type books struct {
	now func() time.Time

	mu       sync.Mutex // guards the rest
	counts   Stats
	messages pace
	rows     pace
	rejected []Rejection // a ring once it is full
	next     int         // its oldest
}

func newBooks(now func() time.Time) *books {
	return &books{now: now, counts: Stats{Refused: map[string]int64{}}}
}

func (b *books) message() {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.Messages++
	b.messages.add(now, 1)
}

func (b *books) drop(rows int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.Dropped += int64(rows)
}

func (b *books) commit(done readings.Appended) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.Commits++
	b.counts.New += int64(done.New)
	b.counts.Merged += int64(done.Merged)
	b.counts.Rows += int64(done.New + done.Merged)
	b.counts.Late += int64(done.Late)
	b.counts.TagsDropped += int64(done.TagsDropped)
	b.rows.add(now, done.New+done.Merged)
}

// refuse books a message that could not be read. A batch has several errors,
// which are counted one by one, and one Rejection.
func (b *books) refuse(source string, payload []byte, err error) {
	var each codec.Errors
	if !errors.As(err, &each) {
		each = codec.Errors{err}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, err := range each {
		b.count(fettle.ReasonOf(err))
	}
	b.keep(source, payload, err)
}

// refuseReading books one reading of a message that could be read.
func (b *books) refuseReading(r fettle.Reading, err error) {
	const enough = 50 // values to fill what is kept
	r.Values = r.Values[:min(len(r.Values), enough)]
	payload := codec.AppendJSON(nil, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(fettle.ReasonOf(err))
	b.keep(r.Machine, payload, err)
}

func (b *books) count(reason string) {
	if _, known := b.counts.Refused[reason]; !known && len(b.counts.Refused) >= keptReasons {
		reason = "other"
	}
	b.counts.Refused[reason]++
}

func (b *books) keep(source string, payload []byte, err error) {
	r := Rejection{
		Time: b.now(), Source: readable([]byte(source), fettle.MaxName), Reason: fettle.ReasonOf(err),
		Error: readable([]byte(err.Error()), keptPayload), Payload: readable(payload, keptPayload),
	}
	if len(b.rejected) < keptRejections {
		b.rejected = append(b.rejected, r)
		return
	}
	b.rejected[b.next] = r
	b.next = (b.next + 1) % keptRejections
}

// readable returns at most limit bytes of UTF-8 from the beginning of text.
func readable(text []byte, limit int) string {
	s := strings.ToValidUTF8(string(text[:min(len(text), limit+utf8.UTFMax)]), "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// rejections returns what is kept, newest first.
func (b *books) rejections() []Rejection {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Rejection, 0, len(b.rejected))
	for i := range b.rejected {
		newest := b.next + len(b.rejected) - 1 - i
		all = append(all, b.rejected[newest%len(b.rejected)])
	}
	return all
}

func (b *books) stats() Stats {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.counts
	s.Refused = maps.Clone(s.Refused)
	s.MessagesPerSecond = b.messages.perSecond(now)
	s.RowsPerSecond = b.rows.perSecond(now)
	return s
}

// pace counts events by second, as far back as paceSeconds.
type pace struct {
	seconds [paceSeconds + 1]struct{ second, events int64 }
}

const paceSeconds = 10

func (p *pace) add(now time.Time, events int) {
	second := now.Unix()
	slot := &p.seconds[uint64(second)%uint64(len(p.seconds))]
	if slot.second != second {
		slot.second, slot.events = second, 0
	}
	slot.events += int64(events)
}

// perSecond is the mean over the full seconds before the one that runs.
func (p *pace) perSecond(now time.Time) float64 {
	var sum int64
	for _, slot := range p.seconds {
		if ago := now.Unix() - slot.second; ago >= 1 && ago <= paceSeconds {
			sum += slot.events
		}
	}
	return float64(sum) / paceSeconds
}
