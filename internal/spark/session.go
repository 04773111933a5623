package spark

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"fettle"
)

// The numbers of fields are those of spark/connect/base.proto, commands.proto and
// relations.proto of Spark 4.0.1 (in its spark-connect jar; Apache-2.0). Every
// request begins alike, but the observed session and the client's type have
// another number in each.
const (
	fieldSession = 1 // string session_id
	fieldUser    = 2 // UserContext user_context

	userID   = 1
	userName = 2
)

// A Session is one at a server: its confs, its uploads and its operations. It is
// safe for concurrent use.
type Session struct {
	id         string
	target     target
	connection *connection
	log        *slog.Logger
	patience   time.Duration // how long a server may be out of reach

	version string

	mu     sync.Mutex
	server string // the server's own name of the session, once it has said it
}

// patience bounds how long a fault of the network is got over. A server that
// refuses connections has ended, and one that was never there may never be: that
// is believed sooner.
const (
	patience        = time.Minute
	refusalPatience = 10 * time.Second
	openingPatience = 10 * time.Second
)

func newSession(c Config, id string) (*Session, error) {
	t, err := c.target()
	if err != nil {
		return nil, err
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if t.open {
		log.Warn("the token of the Spark server goes over the network in the clear", "server", t.address)
	}
	return &Session{id: id, target: t, connection: connect(t), log: log, patience: openingPatience}, nil
}

// Dial opens a session and sets its confs. Nothing is uploaded yet.
func Dial(ctx context.Context, c Config) (*Session, error) {
	s, err := newSession(c, NewID())
	if err != nil {
		return nil, err
	}
	if err := s.askVersion(ctx); s.version != "" && err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	} else if err != nil {
		s.Leave()
		return nil, err
	}
	s.patience = patience
	if err := s.configure(ctx, c.Confs); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

// Resume goes on with a session that another process has opened and left.
// ErrLost: there is none of that name any more.
func Resume(ctx context.Context, c Config, sessionID string) (*Session, error) {
	if err := checkID("session", sessionID); err != nil {
		return nil, err
	}
	s, err := newSession(c, sessionID)
	if err != nil {
		return nil, err
	}
	// Most calls would open the session anew; the release of an operation that
	// there never was does not.
	if err := s.release(ctx, NewID()); err != nil {
		s.Leave()
		return nil, err
	}
	if err := s.askVersion(ctx); err != nil {
		s.Leave()
		return nil, err
	}
	s.patience = patience
	return s, nil
}

// NewID makes a random UUID, as sessions and operations have.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// checkID wants the name of a session or an operation to be a UUID, as the server
// does.
func checkID(what, id string) error {
	digits := strings.Trim(strings.ToLower(id), "0123456789abcdef-") == "" && strings.Count(id, "-") == 4
	if !digits || len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return fettle.BadField("bad name", what, id, "a UUID, such as "+NewID())
	}
	return nil
}

// ID is the session's name, by which another process can Resume it.
func (s *Session) ID() string { return s.id }

// Version is that of the server's Spark, such as 4.0.1.
func (s *Session) Version() string { return s.version }

// ServerSideID is the server's own name of the session. What is uploaded lies
// below a folder of that name in an executor's working folder.
func (s *Session) ServerSideID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// Leave lets go of the connection. The session lives on at the server, for an
// hour as it comes, and can be resumed.
func (s *Session) Leave() { s.connection.close() }

// Close ends the session at the server, with all that runs in it and all that
// was uploaded.
func (s *Session) Close(ctx context.Context) error {
	defer s.Leave()
	if _, err := s.ask(ctx, "ReleaseSession", s.request(0, 3)); !errors.Is(err, ErrLost) {
		return err
	}
	return nil // it is gone already
}

// request begins a request; observed and client are the numbers of these two
// fields in it.
func (s *Session) request(observed, client int) message {
	user := message(nil).text(userID, s.target.user).text(userName, s.target.user)
	m := message(nil).text(fieldSession, s.id).bytes(fieldUser, user).text(client, s.target.agent)
	if observed != 0 {
		m = m.text(observed, s.ServerSideID())
	}
	return m
}

// observe keeps the server's name of the session.
func (s *Session) observe(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = name
}

// ask is a call that may be repeated: faults that pass are got over.
func (s *Session) ask(ctx context.Context, method string, request message) ([]byte, error) {
	var answer []byte
	err := s.persist(ctx, func() (err error) {
		answer, err = s.connection.call(ctx, method, request)
		return err
	})
	return answer, err
}

// persist tries until it goes well, fails for good, or patience ends.
func (s *Session) persist(ctx context.Context, try func() error) error {
	r := s.newRetry()
	for {
		err := try()
		if err == nil || ctx.Err() != nil || !r.again(ctx, err) {
			return s.target.explain(err)
		}
	}
}

// A retry waits between tries: longer each time, and not for ever.
type retry struct {
	session *Session
	began   time.Time // of the trouble; zero while there is none
	wait    time.Duration
}

const (
	firstWait = 50 * time.Millisecond
	longWait  = 5 * time.Second
)

func (s *Session) newRetry() *retry { return &retry{session: s} }

// again waits before the next try; false if there should be none.
func (r *retry) again(ctx context.Context, err error) bool {
	if !passing(err) {
		return false
	}
	if r.began.IsZero() {
		r.began, r.wait = time.Now(), firstWait
	}
	limit := r.session.patience
	if refused(err) {
		limit = min(limit, refusalPatience)
	}
	if time.Since(r.began) > limit {
		return false
	}
	r.session.log.Debug("Spark server out of reach; asking again", "err", err, "wait", r.wait)
	pause(ctx, r.wait)
	r.wait = min(2*r.wait, longWait)
	return ctx.Err() == nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// askVersion opens the session, if there is none of its name, and learns what
// the server is.
func (s *Session) askVersion(ctx context.Context) error {
	const sparkVersion = 10 // AnalyzePlanRequest.spark_version
	answer, err := s.ask(ctx, "AnalyzePlan", s.request(17, 3).bytes(sparkVersion, nil))
	if err != nil {
		return err
	}
	err = fields(answer, func(f field) error {
		switch f.number {
		case 15: // server_side_session_id
			s.observe(f.text())
		case 8: // spark_version
			return fields(f.bytes, func(f field) error {
				if f.number == 1 {
					s.version = f.text()
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return checkVersion(s.version)
}

const oldest = 4 // major version: older ones share uploads between sessions

func checkVersion(version string) error {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldest {
		return fettle.Errorf(fettle.Conflict, "the server runs Spark %s; fettle needs Spark %d.0 or newer", fettle.Shorten(version), oldest)
	}
	return nil
}

// configure sets the session's confs.
func (s *Session) configure(ctx context.Context, confs map[string]string) error {
	if len(confs) == 0 {
		return nil
	}
	var set message // Config.Set
	names := make([]string, 0, len(confs))
	for name := range confs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		set = set.bytes(1, message(nil).text(1, name).always(2, confs[name]))
	}
	_, err := s.ask(ctx, "Config", s.request(8, 4).bytes(3, message(nil).bytes(1, set)))
	if err != nil && strings.Contains(class(err), "CANNOT_MODIFY") {
		return fettle.Errorf(fettle.Invalid, "%w. Start the server with it: `fettle spark serve-command --conf NAME=VALUE` prints how", err)
	}
	return err
}

// confs asks for settings; those that are not set are left out.
func (s *Session) confs(ctx context.Context, names ...string) (map[string]string, error) {
	var get message // Config.GetOption
	for _, name := range names {
		get = get.text(1, name)
	}
	answer, err := s.ask(ctx, "Config", s.request(8, 4).bytes(3, message(nil).bytes(4, get)))
	if err != nil {
		return nil, err
	}
	confs := map[string]string{}
	return confs, fields(answer, func(f field) error {
		if f.number != 2 { // pairs
			return nil
		}
		var name, value string
		var there bool
		err := fields(f.bytes, func(f field) error {
			switch f.number {
			case 1:
				name = f.text()
			case 2:
				value, there = f.text(), true
			}
			return nil
		})
		if there {
			confs[name] = value
		}
		return err
	})
}
