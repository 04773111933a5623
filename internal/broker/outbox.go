package broker

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	// batchBytes is when what is sent at once is enough, in bytes.
	batchBytes = 16 << 10
	// copyBytes is the largest payload that is copied to what is sent at once. A
	// larger one is sent from where it is: it is there for all subscribers.
	copyBytes = 4 << 10
)

// An outbox holds what a session has still to get: what waits, and what was sent
// but not acknowledged. It lives as long as the session; while the client is
// connected, its conn takes from the outbox what it can send.
type outbox struct {
	client string
	room   *room
	tell   outboxListener

	mu      sync.Mutex // guards all below
	closed  bool       // the session is over
	terms   terms      // of the connection, or the last one
	conn    *conn      // nil: the client is away
	bytes   int        // cost of all deliveries in here
	number  uint64     // of the newest delivery
	lastID  uint16     // the newest packet id
	backlog []retainedFor
	waiting []*delivery          // oldest first
	sent    map[uint16]*delivery // to be acknowledged, by packet id
	again   []*delivery          // of these, what an earlier connection sent and this one has not yet; oldest first
	unacked int                  // cost of what was sent
	open    int                  // how much of it this connection sent, in messages
	writing int                  // cost of what is being sent at QoS 0

	seen    time.Time     // the last sign of life that shows that the client reads
	held    chan struct{} // not nil: publishers wait until it is closed
	lagging bool          // they waited in vain, and do not before it has caught up
	lost    int           // messages that found no room since it fell behind
}

// terms are what a client wants of its connection.
type terms struct {
	version   byte
	kept      bool          // its session outlives it
	open      int           // messages without acknowledgement at most
	maxPacket int           // bytes; 0: any
	grant     func() *grant // what it may have
}

// An outboxListener is told what others should know.
type outboxListener interface {
	noted(client string, number uint64)              // what is kept of a delivery changed
	fellBehind(o *outbox, setting string, limit int) // the first of several messages found no room
	caughtUp(o *outbox, lost int)
	retainedUnder(filter string) (topics []string)
	retainedOn(topic string) (*letter, bool)
}

// add takes a letter in. If publishers should wait, it returns until when. If it
// has a right to room that others use, it tells that they are to be made smaller
// first.
func (o *outbox) add(l *letter, sub packets.Subscription) (held <-chan struct{}, crowded bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := &delivery{letter: l, qos: min(l.qos, sub.Qos), retain: l.retain && sub.RetainAsPublished && o.terms.version == 5, subscriptionIDs: identifiers(sub)}
	away := o.conn == nil
	if o.closed || away && (d.qos == 0 || !o.terms.kept) || !o.terms.grant().maySubscribe(l.topic) {
		return nil, false
	}
	switch cost := d.cost(); {
	case o.bytes > 0 && o.bytes+cost > o.room.each:
		o.lose(1, "mqtt.max_queued", o.room.each)
		return nil, false
	case cost > o.room.free():
		if o.bytes+cost <= o.room.fair() {
			return nil, true
		}
		o.lose(1, "mqtt.max_queued_total", o.room.total)
		return nil, false
	}
	o.put(d)
	if away {
		o.note(d)
		return nil, false
	}
	o.conn.wake()
	if d.qos == 0 || o.bytes <= o.room.share()/2 {
		return nil, false
	}
	return o.hold(), false
}

// lose books messages for which there is no room.
func (o *outbox) lose(n int, setting string, limit int) {
	o.room.lost.Add(int64(n))
	if o.lost == 0 {
		o.tell.fellBehind(o, setting, limit)
	}
	o.lost += n
}

// shrink makes an outbox smaller, for others which have a right to the room: the
// newest messages go.
func (o *outbox) shrink(to int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for ; o.bytes > to && len(o.waiting) > 0; n++ {
		last := len(o.waiting) - 1
		d := o.waiting[last]
		o.waiting[last] = nil
		o.waiting = o.waiting[:last]
		o.end(d)
	}
	if o.bytes > to && len(o.sent) > 0 { // it does not acknowledge what it gets
		sent := o.sentInOrder()
		for ; o.bytes > to && len(sent) > 0; n++ {
			o.unsend(sent[len(sent)-1])
			sent = sent[:len(sent)-1]
		}
	}
	if n > 0 {
		o.lose(n, "mqtt.max_queued_total", o.room.total)
	}
}

func (o *outbox) put(d *delivery) {
	o.number++
	d.number = o.number
	o.waiting = append(o.waiting, d)
	o.use(d.cost())
}

func (o *outbox) use(bytes int) {
	had := o.bytes > 0
	o.bytes += bytes
	o.room.used.Add(int64(bytes))
	switch has := o.bytes > 0; {
	case has && !had:
		o.room.holders.Add(1)
	case had && !has:
		o.room.holders.Add(-1)
	}
}

// note has what a client which is away is still to get kept, if that is not known
// yet.
func (o *outbox) note(d *delivery) {
	if d.qos > 0 && (!d.kept || d.keptID != d.id) {
		d.kept, d.keptID = true, d.id
		o.tell.noted(o.client, d.number)
	}
}

// hold returns until when to wait for this subscriber; nil if it is not worth it:
// it has shown no sign of life for too long, or has been waited for in vain.
func (o *outbox) hold() <-chan struct{} {
	if o.held != nil || o.lagging {
		return o.held
	}
	left := o.room.patience - o.room.now().Sub(o.seen)
	if left <= 0 {
		o.lagging = true
		return nil
	}
	held := make(chan struct{})
	o.held = held
	time.AfterFunc(left, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.held == held {
			o.lagging = true
			o.letGo()
		}
	})
	return held
}

func (o *outbox) letGo() {
	if o.held != nil {
		close(o.held)
		o.held = nil
	}
}

// sentOff is called when something left the outbox.
func (o *outbox) sentOff() {
	if o.bytes > o.room.share()/4 {
		return
	}
	o.lagging = false
	o.letGo()
	if o.lost > 0 {
		o.tell.caughtUp(o, o.lost)
		o.lost = 0
	}
}

// attach gives the outbox a connection, on which everything unacknowledged is
// sent again first.
func (o *outbox) attach(c *conn, t terms) {
	o.mu.Lock()
	o.conn, o.terms = c, t
	o.again, o.open = o.sentInOrder(), 0
	for _, d := range o.again {
		d.open = false
	}
	o.written()
	o.letGo()
	o.lagging = false
	o.seen = o.room.now()
	o.mu.Unlock()
	c.serve(o)
}

// sentInOrder is what was sent and not acknowledged, oldest first.
func (o *outbox) sentInOrder() []*delivery {
	sent := make([]*delivery, 0, len(o.sent))
	for _, d := range o.sent {
		sent = append(sent, d)
	}
	slices.SortFunc(sent, func(x, y *delivery) int { return cmp.Compare(x.number, y.number) })
	return sent
}

// detach takes the connection away, if it is this one, and with it what the
// session does not keep.
func (o *outbox) detach(c *conn, kept bool, grant func() *grant) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn != c {
		return false
	}
	o.conn, o.terms.kept, o.terms.grant = nil, kept, grant
	o.written()
	o.letGo()
	o.waiting = slices.DeleteFunc(o.waiting, func(d *delivery) bool {
		if d.qos == 0 {
			o.use(-d.cost())
		}
		return d.qos == 0
	})
	for _, d := range o.waiting {
		o.note(d)
	}
	for _, d := range o.sent {
		o.note(d)
	}
	return true
}

// close ends the session.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.conn = true, nil
	o.letGo()
	for number, d := range o.all() {
		if d.kept {
			o.tell.noted(o.client, number)
		}
	}
	o.use(-o.bytes)
	o.backlog, o.waiting, o.sent, o.again, o.writing, o.unacked = nil, nil, nil, nil, 0, 0
}

// all are the deliveries in here, as they are now, by number.
func (o *outbox) all() map[uint64]delivery {
	all := make(map[uint64]delivery, len(o.waiting)+len(o.sent))
	for _, d := range o.waiting {
		all[d.number] = *d
	}
	for _, d := range o.sent {
		all[d.number] = *d
	}
	return all
}

// size is how much room the outbox uses.
func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// snapshot is all for those outside.
func (o *outbox) snapshot() map[uint64]delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all()
}

// restore puts back what the store held, oldest first; false if there is no room.
func (o *outbox) restore(d *delivery) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if cost := d.cost(); o.bytes > 0 && o.bytes+cost > o.room.each || cost > o.room.free() {
		o.lose(1, "mqtt.max_queued", o.room.each)
		return false
	}
	o.number, d.kept, d.keptID = d.number, true, d.id
	o.use(d.cost())
	if d.id == 0 || o.sent[d.id] != nil { // two of one id would be nonsense
		d.id, d.released = 0, false
		o.waiting = append(o.waiting, d)
	} else {
		o.setSent(d)
	}
	return true
}

func (o *outbox) setSent(d *delivery) {
	if o.sent == nil {
		o.sent = map[uint16]*delivery{}
	}
	o.sent[d.id] = d
	o.unacked += d.cost()
}

// unsend takes a delivery out of those that were sent.
func (o *outbox) unsend(d *delivery) {
	delete(o.sent, d.id)
	o.unacked -= d.cost()
	if d.open {
		o.open--
	}
	o.end(d)
	o.sentOff()
}

// forgetExpired takes out what nobody wants any more.
func (o *outbox) forgetExpired() {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, n := o.room.now(), len(o.waiting)
	o.waiting = slices.DeleteFunc(o.waiting, func(d *delivery) bool {
		if d.expired(now) {
			o.end(d)
		}
		return d.expired(now)
	})
	if len(o.waiting) < n {
		o.sentOff()
	}
}

// end is the end of a delivery.
func (o *outbox) end(d *delivery) {
	o.use(-d.cost())
	if d.kept {
		o.tell.noted(o.client, d.number)
	}
}

// nextID finds a packet id that is free; there is one, as fewer are open.
func (o *outbox) nextID() uint16 {
	for {
		if o.lastID++; o.lastID != 0 && o.sent[o.lastID] == nil {
			return o.lastID
		}
	}
}

func identifiers(sub packets.Subscription) []int {
	if sub.Identifier > 0 && len(sub.Identifiers) == 0 {
		return []int{sub.Identifier}
	}
	var ids []int
	for _, id := range sub.Identifiers {
		if id > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// openAtMost is how many messages may be open for a client that wishes so many;
// zero if it did not say.
func openAtMost(wish uint16) int {
	if wish == 0 {
		return math.MaxUint16 - 1 // an id must be free
	}
	return min(int(wish), math.MaxUint16-1)
}
