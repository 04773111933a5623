package broker

import (
	"errors"
	"math"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"fettle"
)

// maxClientID bounds a client's id, in bytes.
const maxClientID = 256

// errRefused ends a connection whose refusal has been logged.
var errRefused = errors.New("connection refused")

// A hook is where mochi asks what to do.
type hook struct {
	mqtt.HookBase
	b *Broker
}

func (h *hook) ID() string { return "fettle" }

func (h *hook) Provides(what byte) bool {
	switch what {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnClientExpired,
		mqtt.OnACLCheck, mqtt.OnPacketRead, mqtt.OnPublish, mqtt.OnPacketProcessed, mqtt.OnWillSent,
		mqtt.OnSubscribe, mqtt.OnSubscribed, mqtt.OnUnsubscribed, mqtt.OnQosPublish, mqtt.OnQosComplete, mqtt.OnQosDropped, mqtt.OnPacketEncode, mqtt.OnRetainMessage, mqtt.OnRetainedExpired, mqtt.OnRetainPublished:
		return true
	}
	return false
}

// OnConnect looks at a client before its password is checked.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	connOf(cl).client = cl.ID
	connOf(cl).window.answer = func(messages []*message) { h.answer(cl, messages) }
	will := cl.Properties.Will.TopicName
	switch {
	case len(cl.ID) > maxClientID:
		connOf(cl).client = fettle.Shorten(cl.ID)
		return h.reject(cl, packets.ErrClientIdentifierNotValid, "mqtt client refused: its id is too long", "limit", maxClientID)
	case pk.Connect.WillFlag && (!mqtt.IsValidFilter(will, true) || ours(will)):
		code := packets.ErrNotAuthorized
		if cl.Properties.ProtocolVersion < 5 {
			code = packets.ErrBadUsernameOrPassword // which becomes "not authorized" in 3.1.1
		}
		return h.reject(cl, code, "mqtt client refused: its will is on a topic of fettle's own", "topic", fettle.Shorten(will))
	}
	if err := h.checkKeepalive(cl); err != nil {
		return err
	}
	// mochi's flow control towards subscribers leaks: a client that was behind
	// once gets less and less, and a lock is taken twice. Off with it; turns on
	// the connection take its place.
	connOf(cl).agree(int(cl.Properties.Props.ReceiveMaximum))
	cl.Properties.Props.ReceiveMaximum = 0
	cl.State.Inflight.ResetSendQuota(0)
	// Nor may mochi replace topics by numbers: it believes that a message which
	// it then drops has told the number.
	cl.Properties.Props.TopicAliasMaximum = 0
	return nil
}

// reject turns a client away with a reason in its own protocol, and logs it.
func (h *hook) reject(cl *mqtt.Client, code packets.Code, message string, args ...any) error {
	h.b.rejected.Add(1)
	h.b.log.With("client", connOf(cl).client, "remote", cl.Net.Remote).Warn(message, args...)
	return errors.Join(errRefused, h.b.server.SendConnack(cl, code, false, nil))
}

// OnConnectAuthenticate finds out who a client is and what it may do.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	c, name := connOf(cl), string(pk.Connect.Username)
	grant, in := h.b.admit(c, name, pk.Connect.Password)
	if c.certified != "" {
		name = c.certified
		cl.Properties.Username = []byte(name)
	}
	will := cl.Properties.Will.TopicName
	why := ""
	switch before, kept := h.b.server.Clients.Get(cl.ID); {
	case !in:
		why = "wrong name or password"
	case pk.Connect.WillFlag && !grant.mayPublish(will):
		why = "may not publish its will"
	case kept && h.b.anyUsers() && string(before.Properties.Username) != name:
		// Its session, with messages that wait, is not for others.
		why = "the client id is another user's"
	default:
		c.grant = grant
		return true
	}
	h.b.rejected.Add(1)
	h.b.log.Warn("mqtt client refused: "+why, "user", fettle.Shorten(name), "client", cl.ID, "remote", cl.Net.Remote)
	return false
}

// admit tells whether a client may come in, by its certificate, its name and
// password, or because anybody may; and what it may do then.
func (b *Broker) admit(c *conn, name string, password []byte) (*grant, bool) {
	if c.certified != "" {
		grant, _ := b.cfg.Accounts.find(c.certified)
		return grant, true
	}
	if !b.anyUsers() {
		return nil, c.local
	}
	if b.users.has(name) || !b.cfg.Accounts.any() {
		return nil, b.users.allow(name, password)
	}
	return b.cfg.Accounts.allow(name, password)
}

// anyUsers tells whether names and passwords are asked for.
func (b *Broker) anyUsers() bool { return len(b.cfg.Users) > 0 || b.cfg.Accounts.any() }

// disconnect ends the connections of an account that is no longer.
func (b *Broker) disconnect(gone *grant) {
	for _, cl := range b.server.Clients.GetAll() {
		if cl.Net.Conn == nil || cl.Closed() || connOf(cl).grant != gone {
			continue
		}
		b.log.Info("mqtt client disconnected: its user was removed or has a new password", "user", gone.user, "client", cl.ID)
		if cl.Properties.ProtocolVersion == 5 {
			_ = b.server.DisconnectClient(cl, packets.ErrAdministrativeAction) // returns the code
		}
		_ = cl.Net.Conn.Close()
	}
}

// OnSessionEstablished is called when a client is in.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	// The window bounds what is received; mochi's count of it would be spoiled
	// by what the same client is sent.
	cl.State.Inflight.ResetReceiveQuota(math.MaxInt32)
	connOf(cl).settle()
	h.b.keeper.left(cl) // what it took over from its session belongs to it now
	h.b.forgetSessions()
}

// OnDisconnect is called when a client is gone; expire says that its session
// ends with it.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	switch {
	case cl.IsTakenOver(): // the session is another connection's
	case expire:
		h.b.receipts.forget(cl.ID)
		h.b.keeper.forget(cl.ID)
	default:
		h.b.keeper.left(cl)
	}
}

// OnClientExpired takes away what mochi leaves of a forgotten session.
func (h *hook) OnClientExpired(cl *mqtt.Client) { h.b.forget(cl) }

func (b *Broker) forget(cl *mqtt.Client) {
	b.receipts.forget(cl.ID)
	b.keeper.forget(cl.ID)
	b.server.UnsubscribeClient(cl)
}

// forgetSessions bounds the sessions that are kept for clients which are away:
// beyond the limit the longest away goes. Clients that
// make up a new id each time would otherwise fill the memory.
func (b *Broker) forgetSessions() {
	if b.server.Clients.Len() <= b.cfg.Limits.Sessions {
		return
	}
	var oldest *mqtt.Client
	for _, cl := range b.server.Clients.GetAll() {
		if cl.Closed() && cl.StopTime() != 0 && (oldest == nil || cl.StopTime() < oldest.StopTime()) {
			oldest = cl
		}
	}
	if oldest == nil {
		return
	}
	b.log.Warn("mqtt session forgotten: too many are kept", "client", oldest.ID, "limit", b.cfg.Limits.Sessions, "setting", "mqtt.max_sessions")
	oldest.ClearInflights()
	b.forget(oldest)
	b.server.Clients.Delete(oldest.ID)
}

// OnACLCheck decides who may publish where, subscribe to what, and have which
// message.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, publish bool) bool {
	if !publish {
		if isAway(cl) && h.b.keeper.full() {
			h.b.keeper.lost.Add(1)
			return false
		}
		return h.grantOf(cl).maySubscribe(topic)
	}
	if topic == "" || !ours(topic) && h.grantOf(cl).mayPublish(topic) {
		return true // an alias stands for a topic that was allowed when it was set; see OnPublish
	}
	h.forbid(cl, packets.Packet{TopicName: topic})
	return false
}

// grantOf is what a client may do, also one that is away.
func (h *hook) grantOf(cl *mqtt.Client) *grant {
	if cl.Net.Conn == nil {
		grant, _ := h.b.cfg.Accounts.find(string(cl.Properties.Username))
		return grant
	}
	return connOf(cl).grant
}

// ours tells which topics are fettle's own.
func ours(topic string) bool {
	for _, own := range []string{"fettle/alarm", "fettle/event"} {
		if rest, found := strings.CutPrefix(topic, own); found && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return strings.HasPrefix(topic, "$")
}

// OnSubscribed is called before a new subscriber gets the retained messages.
func (h *hook) OnSubscribed(cl *mqtt.Client, _ packets.Packet, _ []byte) {
	connOf(cl).subscribing.Store(true)
	h.b.keeper.sessionChanged(cl.ID)
}

func (h *hook) OnUnsubscribed(cl *mqtt.Client, _ packets.Packet) { h.b.keeper.sessionChanged(cl.ID) }

func isAway(cl *mqtt.Client) bool { return cl.Net.Conn == nil || cl.Closed() }

// OnQosPublish is called where a message of QoS 1 or 2 is given to a subscriber:
// the place to wait for one that is behind.
func (h *hook) OnQosPublish(cl *mqtt.Client, pk packets.Packet, _ int64, _ int) {
	switch {
	case isAway(cl):
		if kept(cl) {
			h.b.keeper.queue(cl.ID, pk)
		}
	case !ours(pk.TopicName):
		connOf(cl).hold(cl.State.Inflight.Len)
	}
}

// OnQosComplete is called when a client has acknowledged a message.
func (h *hook) OnQosComplete(cl *mqtt.Client, pk packets.Packet) {
	h.b.keeper.done(cl.ID, pk.PacketID)
}

// OnQosDropped is called when it never will.
func (h *hook) OnQosDropped(cl *mqtt.Client, pk packets.Packet) {
	h.b.keeper.done(cl.ID, pk.PacketID)
}

// OnPacketProcessed is called after a client's packet is dealt with.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, _ error) {
	if cl.Net.Inline {
		return
	}
	c := connOf(cl)
	switch pk.FixedHeader.Type {
	case packets.Subscribe:
		c.subscribing.Store(false)
	case packets.Puback, packets.Pubcomp:
		if pk.PacketID != nothing.PacketID {
			c.answered(cl.State.Inflight.Len())
		}
	case packets.Pubrec:
		if pk.ReasonCode >= packets.ErrUnspecifiedError.Code {
			c.answered(cl.State.Inflight.Len()) // an error ends the exchange here
		}
	}
}

// OnPacketEncode is called before a packet is written to a client.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	switch pk.FixedHeader.Type {
	case packets.Publish:
		connOf(cl).turn(pk.FixedHeader.Qos, pk.FixedHeader.Retain)
	case packets.Suback:
		h.sayTooMany(cl, &pk)
	case packets.Connack:
		if pk.ReasonCode == packets.CodeSuccess.Code && !pk.SessionPresent {
			h.b.receipts.forget(cl.ID) // of a session before this one
		}
		// mochi keeps to these, but does not tell.
		pk.Properties.MaximumPacketSize = uint32(h.b.cfg.MaxPacket)
		pk.Properties.TopicAliasMaximum = topicAliases
	}
	return pk
}

// OnWillSent: the will of a client that is lost can be a message like others.
// There is nobody to acknowledge it to.
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	if h.b.cfg.Wants(pk.TopicName) && h.b.work.begin() {
		h.b.take(Message{Topic: pk.TopicName, Payload: pk.Payload, Client: cl.ID}, func(packets.Code) { h.b.work.end() })
	}
}

func (h *hook) OnRetainMessage(_ *mqtt.Client, pk packets.Packet, _ int64) {
	h.b.retained.set(pk.TopicName, len(pk.Payload))
	h.b.keeper.retainedChanged(pk.TopicName)
}

func (h *hook) OnRetainedExpired(topic string) {
	h.b.retained.set(topic, 0)
	h.b.keeper.retainedChanged(topic)
}

func (h *hook) OnRetainPublished(cl *mqtt.Client, _ packets.Packet) { connOf(cl).queuedRetained() }

// connOf is the connection of a client from outside.
func connOf(cl *mqtt.Client) *conn { return cl.Net.Conn.(*conn) }
