package bridge

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"fettle"
)

// A link is one connection of a subscriber. The goroutine that runs it reads;
// another writes acknowledgements, many at once, and pings.
type link struct {
	*Subscriber
	protocol  protocol
	resumed   bool // the broker has kept our session
	conn      net.Conn
	reader    *bufio.Reader
	arrivals  *arrivals
	keepAlive time.Duration
	ctx       context.Context // ends with the link; its cause says why
	fail      context.CancelCauseFunc
}

// lastAnswers is how long a link waits at its end for the answers to what has
// come. Receivers answer within 10 s; a server that stops has less time.
const lastAnswers, lastAnswersStopping = 15 * time.Second, 3 * time.Second

// dial connects and introduces us.
func (s *Subscriber) dial(ctx context.Context, v protocol) (*link, error) {
	conn, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	l := &link{Subscriber: s, protocol: v, conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), keepAlive: s.keepAlive}
	hangUp := context.AfterFunc(ctx, func() { conn.Close() })
	defer hangUp()
	w, err := l.introduce()
	if err != nil {
		conn.Close()
		return nil, err
	}
	l.resumed = w.resumed
	if w.keepAlive > 0 {
		l.keepAlive = time.Duration(w.keepAlive) * time.Second
	}
	l.ctx, l.fail = context.WithCancelCause(context.WithoutCancel(ctx))
	l.arrivals = newArrivals(s.Window, s.books, l.fail)
	return l, nil
}

func (l *link) introduce() (welcome, error) {
	at := l.address.String()
	if err := l.conn.SetDeadline(time.Now().Add(connectTime)); err != nil {
		return welcome{}, fmt.Errorf("connect to mqtt broker at %s: %w", at, err)
	}
	_, err := l.conn.Write(l.protocol.connect(greeting{
		id: l.ClientID, user: l.User, password: l.Password,
		keepAlive: int(l.keepAlive.Seconds()), window: l.Window, expiry: uint32(sessionExpiry.Seconds()),
	}))
	var f frame
	if err == nil {
		f, err = readFrame(l.reader)
	}
	var timeout net.Error
	switch {
	case err == nil:
	case errors.As(err, &timeout) && timeout.Timeout():
		return welcome{}, fettle.Errorf(fettle.Unavailable, "mqtt broker at %s does not answer within %v", at, connectTime)
	default:
		return welcome{}, &otherVersion{err: fettle.Errorf(fettle.Unavailable, "mqtt broker at %s hangs up: %w", at, err)}
	}
	if f.kind != connackKind {
		return welcome{}, fettle.Errorf(fettle.Unavailable, "no mqtt broker at %s: it answers with packet %d", at, f.kind)
	}
	w, err := l.protocol.parseConnack(f.body)
	if err != nil {
		return w, fettle.Errorf(fettle.Unavailable, "no mqtt broker at %s: %w", at, err)
	}
	if w.code != 0 {
		return w, l.refusal(w)
	}
	return w, l.conn.SetDeadline(time.Time{})
}

// run lives through the connection, and returns why it ended.
func (l *link) run(ctx context.Context) error {
	defer l.conn.Close()
	defer context.AfterFunc(ctx, func() { l.fail(ctx.Err()) })()
	// A read that waits ends with the link.
	defer context.AfterFunc(l.ctx, func() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) })()
	if err := l.subscribe(); err != nil {
		return err
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { l.write(stop) })
	l.fail(l.read()) // the first cause counts
	l.settle(ctx)
	// A broker that takes no more bytes does not hold us up.
	defer time.AfterFunc(closeTime, func() { l.conn.Close() }).Stop()
	close(stop)
	writer.Wait()
	return context.Cause(l.ctx)
}

// subscribe asks for our topics, in a session that was kept too: they may be
// others since the last start, and then the former ones are taken back. A broker
// of 3.1.1 sends what it retains with each subscription, new or not, so it is
// asked only once.
func (l *link) subscribe() error {
	if l.resumed && l.granted && l.protocol == mqtt311 {
		l.books.subscribed()
		return nil
	}
	l.granted = false
	if l.resumed && len(l.Former) > 0 {
		if err := l.send(l.protocol.unsubscribe(2, l.Former)); err != nil {
			return err
		}
	}
	return l.send(l.protocol.subscribe(1, l.Filters))
}

// read takes in packets until the link ends.
func (l *link) read() error {
	for {
		// The broker answers each ping, so that silence is the end of it.
		if err := l.conn.SetReadDeadline(time.Now().Add(l.keepAlive * 3 / 2)); err != nil {
			return err
		}
		if l.ctx.Err() != nil {
			return nil
		}
		f, err := readFrame(l.reader)
		if err != nil {
			return l.broken(err)
		}
		switch f.kind {
		case publishKind:
			err = l.deliver(f)
		case subackKind:
			err = l.answered(f.body)
		case disconnectKind:
			d := parseDisconnect(f.body)
			err = fettle.Errorf(fettle.Unavailable, "mqtt broker at %s ends the connection: %s (reason %#x)", l.address.String(), cmp.Or(d.reason, farewells[d.code], "it does not say why"), d.code)
		case pingrespKind, unsubackKind:
		default:
			err = fmt.Errorf("%w: packet %d", errMalformed, f.kind)
		}
		if err != nil {
			return err
		}
	}
}

// farewells are the codes of DISCONNECT that call for somebody to do something.
var farewells = map[byte]string{
	0x8B: "it stops",
	0x8D: "it has not heard from us",
	0x8E: "somebody else connects with our client id",
	0x93: "we have not acknowledged enough",
	0x97: "we are over a quota",
	0x98: "its administrator did it",
}

// deliver hands a message to the receiver.
func (l *link) deliver(f frame) error {
	d, err := l.protocol.parsePublish(f)
	if err != nil {
		return err
	}
	l.books.receive()
	m := Message{Topic: d.topic, Payload: d.payload, QoS: d.qos, Retained: d.retained}
	if d.qos == 0 {
		l.receive(l.ctx, m, func(error) {}) // nobody waits for the answer
		return nil
	}
	a, settled, err := l.arrivals.add(l.ctx, d)
	if err != nil {
		return err
	}
	if settled {
		l.arrivals.answer(a, nil)
		return nil
	}
	l.receive(l.ctx, m, func(err error) { l.arrivals.answer(a, err) })
	return nil
}

// answered reads the answer to our subscription. What is refused is known in
// the State; only if nothing is granted does the link end.
func (l *link) answered(body []byte) error {
	codes, err := l.protocol.parseSuback(body)
	if err != nil {
		return err
	}
	refused, all := l.refusedFilters(codes)
	if all {
		return refused
	}
	l.granted = refused == nil
	l.books.subscribed()
	if refused != nil {
		l.log.Warn("the outside broker refuses a part of the subscription", "err", refused)
		l.books.trouble(refused)
	}
	return nil
}

// broken explains the end of reading.
func (l *link) broken(err error) error {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fettle.Errorf(fettle.Unavailable, "mqtt broker at %s is silent for %v", l.address.String(), l.keepAlive*3/2)
	case errors.Is(err, io.EOF):
		return fettle.Errorf(fettle.Unavailable, "mqtt broker at %s has hung up", l.address.String())
	default:
		return fettle.Errorf(fettle.Unavailable, "connection to mqtt broker at %s: %w", l.address.String(), err)
	}
}

// write writes acknowledgements and pings until it is told to stop, and then
// says goodbye. When the link has failed it only waits.
func (l *link) write(stop <-chan struct{}) {
	pings := time.NewTicker(l.keepAlive)
	defer pings.Stop()
	var packets []byte
	for {
		var err error
		select {
		case <-l.arrivals.ready:
			packets = l.arrivals.take(packets)
			err = l.send(packets)
		case <-pings.C:
			err = l.send(ping())
		case <-stop:
			// The broker may be gone; then it sends again what it has no answer to.
			_ = l.send(append(l.arrivals.take(packets), goodbye()...))
			return
		}
		if err != nil {
			l.fail(l.broken(err))
			<-stop
			return
		}
	}
}

// send writes packets; a broker that takes none for long is gone.
func (l *link) send(packets []byte) error {
	if len(packets) == 0 {
		return nil
	}
	if err := l.conn.SetWriteDeadline(time.Now().Add(max(l.keepAlive, connectTime))); err != nil {
		return err
	}
	_, err := l.conn.Write(packets)
	return err
}

// settle waits for the answers to what has come, so that the next connection
// knows which messages it need not take again.
func (l *link) settle(ctx context.Context) {
	enough, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastAnswersStopping, cancel) })()
	for {
		if n, _ := l.arrivals.waiting(); n == 0 {
			return
		}
		select {
		case <-l.arrivals.room:
		case <-enough.Done():
			return
		}
	}
}
