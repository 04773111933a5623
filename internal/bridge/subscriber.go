package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"fettle"
)

// A Subscription says which broker to listen to, and for what.
type Subscription struct {
	// URL is as in Options, but may not hold user and password.
	URL            string
	User, Password string
	TLS            TLSFiles
	// ClientID names our session at the broker. It must be the same after a
	// restart, and nobody else's: the broker hangs up on the older of two.
	ClientID string
	Filters  []string // MQTT topic filters, $share/group/... among them
	Former   []string // those that the session may have from before, and that are to go
	Window   int      // messages that may come before the first is answered; 0: DefaultWindow, at most MaxWindow
	// Own lists the addresses, host:port, of this program's own broker, to which
	// it must not subscribe: what it heard there would come to it twice.
	Own func() []string
	Log *slog.Logger
}

// Bounds of Subscription.
const (
	DefaultWindow = 2_000
	MaxWindow     = 65_535
	MaxFilters    = 1_000
	maxText       = 65_535 // bytes of any text in MQTT
)

// A Message is what came on a topic.
type Message struct {
	Topic    string
	Payload  []byte // the receiver's own; up to one byte more than 1 MiB, the rest of a longer one is cut off
	QoS      byte   // 0 or 1
	Retained bool   // the broker had kept it from before the subscription
}

// A Subscriber listens to one broker of MQTT 5 or 3.1.1. It keeps a session
// there that outlives connections and restarts, so that the broker holds what
// comes while it is away.
type Subscriber struct {
	Subscription
	address   *url.URL
	receive   func(context.Context, Message, func(error))
	books     *books
	log       *slog.Logger
	keepAlive time.Duration
	pauses    pauses

	// What the goroutine of Run has learned of the broker.
	old     bool // it says that it speaks 3.1.1 only
	modern  bool // it has spoken MQTT 5
	granted bool // its session has all our filters
}

// sessionExpiry is how long a broker of MQTT 5 shall keep our session while we
// are away. One of 3.1.1 decides itself.
const sessionExpiry = 7 * 24 * time.Hour

// NewSubscriber checks a subscription and connects to nothing.
//
// receive is called with each message, in the order in which they come, and
// answers it by calling done once, now or later: nil or an error of kind
// Invalid settles the message, and it is acknowledged; after any other error
// the connection is broken, so that the broker sends the message again. It may
// wait as long as it has no room; its context ends with the connection.
func NewSubscriber(s Subscription, receive func(ctx context.Context, m Message, done func(error))) (*Subscriber, error) {
	address, err := parseURL(s.URL)
	if err != nil {
		return nil, err
	}
	bad := func(field, value, expected string) (*Subscriber, error) {
		return nil, fettle.BadField("bad option", field, value, expected)
	}
	switch {
	case address.User != nil:
		return bad("broker", address.Redacted(), "no user and password in the URL, where others can see them")
	case s.ClientID == "" || len(s.ClientID) > maxText:
		return bad("client id", fmt.Sprintf("%q", fettle.Shorten(s.ClientID)), "a name that stays the same")
	case s.Window < 0 || s.Window > MaxWindow:
		return bad("window", fmt.Sprint(s.Window), fmt.Sprintf("1 to %d messages", MaxWindow))
	case len(s.Filters) == 0 || max(len(s.Filters), len(s.Former)) > MaxFilters:
		return bad("topics", fmt.Sprintf("%d topics", len(s.Filters)), fmt.Sprintf("1 to %d", MaxFilters))
	}
	for _, text := range slices.Concat([]string{s.User, s.Password}, s.Filters, s.Former) {
		if len(text) > maxText {
			return bad("text", fmt.Sprintf("%d bytes long", len(text)), fmt.Sprintf("at most %d bytes", maxText))
		}
	}
	if _, err := s.TLS.load(address.Hostname()); err != nil {
		return nil, err
	}
	s.Window = cmp.Or(s.Window, DefaultWindow)
	log := cmp.Or(s.Log, slog.New(slog.DiscardHandler)).With("broker", address.String())
	return &Subscriber{
		Subscription: s, address: address, receive: receive, books: newBooks(address.String(), time.Now),
		log: log, keepAlive: keepAlive * time.Second, pauses: pauses{least: time.Second, most: 5 * time.Minute, busy: 30 * time.Second},
	}, nil
}

// State tells how the subscriber does.
func (s *Subscriber) State() State { return s.books.report() }

// Run keeps up a connection until the context ends. Then it waits a moment for
// the answers to what has come, and acknowledges it.
func (s *Subscriber) Run(ctx context.Context) error {
	var last string // complaint, so that the same is not said every few seconds
	for {
		before, began := s.books.acknowledged(), time.Now()
		err := s.listen(ctx)
		s.books.gone()
		if ctx.Err() != nil {
			return nil
		}
		s.books.trouble(err)
		if s.books.acknowledged() > before || time.Since(began) > steady {
			s.pauses.reset()
			last = ""
		}
		pause := s.pauses.next(err)
		level := slog.LevelWarn
		if text := err.Error(); text == last {
			level = slog.LevelDebug
		} else {
			last = text
		}
		s.log.Log(ctx, level, "no connection to the outside broker", "err", err, "again_in", pause.Round(time.Millisecond))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// steady is how long a connection without any message must last to count as a
// good one.
const steady = time.Minute

// listen lives through one connection.
func (s *Subscriber) listen(ctx context.Context) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	switch first := s.books.connected(l); {
	case l.resumed:
		s.log.Info("connected to the outside broker, which has kept our session", "protocol", l.protocol)
	case first:
		s.log.Info("connected to the outside broker, in a new session", "protocol", l.protocol)
	default:
		s.log.Warn("the outside broker has lost our session, and what came while we were away", "protocol", l.protocol)
	}
	return l.run(ctx)
}

// otherVersion is how an attempt ends that MQTT 3.1.1 may mend. An old broker
// says what it thinks of MQTT 5, or just hangs up.
type otherVersion struct {
	err  error
	said bool
}

func (e *otherVersion) Error() string { return e.err.Error() }
func (e *otherVersion) Unwrap() error { return e.err }

// open connects, in MQTT 5 if the broker speaks it. Hanging up says little: a
// broker that has spoken MQTT 5 before is not taken for an old one.
func (s *Subscriber) open(ctx context.Context) (*link, error) {
	if s.old {
		l, err := s.dial(ctx, mqtt311)
		var wrong *otherVersion
		s.old = !(errors.As(err, &wrong) && wrong.said)
		return l, err
	}
	l, err := s.dial(ctx, mqtt5)
	var wrong *otherVersion
	switch {
	case err == nil:
		s.modern = true
		return l, nil
	case !errors.As(err, &wrong), !wrong.said && s.modern:
		return nil, err
	}
	l, oldErr := s.dial(ctx, mqtt311)
	if oldErr != nil {
		return nil, err
	}
	s.old = wrong.said
	return l, nil
}

// pauses between attempts grow, and are drawn at random so that many clients of
// a broker that comes back do not come all at once.
type pauses struct {
	least, most, busy time.Duration // busy: the most when it is we who could not store
	present           time.Duration // the next is between this and twice this
}

func (p *pauses) reset() { p.present = 0 }

func (p *pauses) next(err error) time.Duration {
	most := p.most
	var ours *notTaken
	if errors.As(err, &ours) {
		most = p.busy
	}
	p.present = min(max(p.least, 2*p.present), most/2)
	return p.present + rand.N(p.present)
}

// refusal says what can be done about the code of a CONNACK.
func (s *Subscriber) refusal(w welcome) error {
	at := s.address.String()
	code := w.code
	if w.old { // the codes of 3.1.1 in the words of MQTT 5
		code = map[byte]byte{1: unsupportedVersion, 2: 0x85, 3: 0x88, 4: badUserOrPassword, 5: notAuthorized}[w.code]
	}
	switch code {
	case unsupportedVersion:
		return &otherVersion{err: fettle.Errorf(fettle.Unavailable, "mqtt broker at %s does not speak our version of MQTT", at), said: true}
	case badUserOrPassword, notAuthorized:
		return fettle.Errorf(fettle.Forbidden, "mqtt broker at %s wants another user, password or client certificate", at)
	case 0x85:
		return fettle.Errorf(fettle.Forbidden, "mqtt broker at %s does not take the client id %q; set another", at, s.ClientID)
	default:
		return fettle.Errorf(fettle.Unavailable, "mqtt broker at %s does not let us in: %s (reason %#x)", at, cmp.Or(w.reason, "it does not say why"), w.code)
	}
}

// refusedFilters is an error about the filters that the broker does not grant;
// nil if there are none. all tells that it grants nothing.
func (s *Subscriber) refusedFilters(codes []byte) (err error, all bool) {
	var refused []string
	for i, code := range codes[:min(len(codes), len(s.Filters))] {
		if code >= 0x80 {
			refused = append(refused, fmt.Sprintf("%s (reason %#x)", s.Filters[i], code))
		}
	}
	if len(refused) == 0 {
		return nil, false
	}
	return fettle.Errorf(fettle.Forbidden, "mqtt broker at %s refuses the subscription to %s", s.address.String(), strings.Join(refused, ", ")), len(refused) == len(s.Filters)
}
