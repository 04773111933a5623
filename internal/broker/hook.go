package broker

import (
	"errors"
	"net"
	"strings"
	"time"

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
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnClientExpired,
		mqtt.OnACLCheck, mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnPacketProcessed, mqtt.OnPublish, mqtt.OnWill, mqtt.OnWillSent,
		mqtt.OnSubscribe, mqtt.OnSubscribed, mqtt.OnUnsubscribed, mqtt.OnRetainedExpired:
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
	case pk.Connect.WillFlag && (!mqtt.IsValidFilter(will, true) || ours(will) || !fitTopic(will)):
		code := packets.ErrNotAuthorized
		if cl.Properties.ProtocolVersion < 5 {
			code = packets.ErrBadUsernameOrPassword // which becomes "not authorized" in 3.1.1
		}
		return h.reject(cl, code, "mqtt client refused: its will is on a topic of fettle's own, or on none", "topic", fettle.Shorten(will))
	}
	if err := h.checkKeepalive(cl); err != nil {
		return err
	}
	// A will that is delayed longer than its session lives comes when that ends,
	// which mochi does not see to; it also forgets the session first.
	expiry := cl.Properties.Props.SessionExpiryInterval
	cl.Properties.Will.WillDelayInterval = min(cl.Properties.Will.WillDelayInterval, max(expiry, 1)-1)
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
		part(cl, packets.ErrAdministrativeAction)
	}
}

// part ends a connection from this side, and says why to those who can read that
// (MQTT 5). What has to happen to a lost client happens when reading fails. mochi's
// own way to end one may be seen before the next read instead, and then it
// takes the client to have said goodbye, and its will is gone.
func part(cl *mqtt.Client, why packets.Code) {
	if cl.Properties.ProtocolVersion == 5 {
		_ = cl.WritePacket(packets.Packet{ // fails as the connection is closed already
			FixedHeader: packets.FixedHeader{Type: packets.Disconnect}, ReasonCode: why.Code,
			Properties: packets.Properties{ReasonString: why.Reason},
		})
	}
	_ = connOf(cl).Close() // never fails
}

// OnSessionEstablished is called when a client is in.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c, wish := connOf(cl), cl.Properties.Props
	h.b.outboxes.open(cl.ID, false).attach(c, terms{
		version: cl.Properties.ProtocolVersion, kept: kept(cl), open: openAtMost(wish.ReceiveMaximum), maxPacket: int(wish.MaximumPacketSize),
		grant: func() *grant { return c.grant },
	})
	h.b.keeper.sessionChanged(cl.ID)
	c.turn.end()
	h.b.forgetSessions()
}

// OnDisconnect is called when a client is gone; expire says that its session
// ends with it.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	o := h.b.outboxes.get(cl.ID)
	if o == nil || !o.detach(connOf(cl), !expire, h.b.grantOfUser(string(cl.Properties.Username))) {
		return // the session is another connection's
	}
	h.b.keeper.sessionChanged(cl.ID)
	if expire {
		h.b.receipts.forget(cl.ID)
		h.b.outboxes.forget(cl.ID)
	}
}

// cutOff does what mochi does when a client is lost, for one at whose packet it
// broke off.
func (b *Broker) cutOff(c *conn, cause error) {
	cl, found := b.server.Clients.Get(c.client)
	if !found || cl.Net.Conn != net.Conn(c) {
		return
	}
	h := &hook{b: b}
	if cl.Properties.Will.Flag > 0 {
		c.will = cl.Properties.Will
		h.OnWillSent(cl, packets.Packet{})
	}
	expire := !kept(cl)
	h.OnDisconnect(cl, cause, expire)
	if expire {
		b.server.UnsubscribeClient(cl)
		b.server.Clients.Delete(cl.ID)
	}
}

// grantOfUser returns what a user may have while it is away, which can change.
func (b *Broker) grantOfUser(name string) func() *grant {
	return func() *grant {
		grant, _ := b.cfg.Accounts.find(name)
		return grant
	}
}

// OnClientExpired takes away what mochi leaves of a forgotten session.
func (h *hook) OnClientExpired(cl *mqtt.Client) { h.b.forget(cl) }

func (b *Broker) forget(cl *mqtt.Client) {
	b.receipts.forget(cl.ID)
	b.outboxes.forget(cl.ID)
	b.keeper.sessionChanged(cl.ID)
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
	b.forget(oldest)
	b.server.Clients.Delete(oldest.ID)
}

// OnACLCheck decides who may publish where, and who may subscribe to what. mochi
// also asks it whether a client may have a message, but has none to give other
// than those of $SYS: see deliver.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, publish bool) bool {
	if !publish {
		c, here := cl.Net.Conn.(*conn)
		return here && topic != "" && c.grant.maySubscribe(topic)
	}
	if topic == "" || !ours(topic) && connOf(cl).grant.mayPublish(topic) {
		return true // an alias stands for a topic that was allowed when it was set; see OnPublish
	}
	h.forbid(cl, packets.Packet{TopicName: topic})
	return false
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

// OnSubscribed is called when a subscription is made.
func (h *hook) OnSubscribed(cl *mqtt.Client, _ packets.Packet, codes []byte) {
	asked := connOf(cl).asked
	for i := range asked {
		asked[i].granted = codes[i] < packets.ErrUnspecifiedError.Code
	}
	h.b.keeper.sessionChanged(cl.ID)
}

func (h *hook) OnUnsubscribed(cl *mqtt.Client, _ packets.Packet) { h.b.keeper.sessionChanged(cl.ID) }

// OnPacketProcessed is called after a client's packet is dealt with.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, _ error) {
	if pk.FixedHeader.Type == packets.Subscribe {
		h.b.sendRetained(cl)
		connOf(cl).asked = nil
	}
}

// OnPacketEncode is called before a packet is written to a client.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	switch pk.FixedHeader.Type {
	case packets.Suback:
		h.sayTooMany(cl, &pk)
	case packets.Connack:
		if pk.ReasonCode == packets.CodeSuccess.Code && !pk.SessionPresent { // nothing of a session before this one
			h.b.receipts.forget(cl.ID)
			h.b.outboxes.open(cl.ID, true)
		}
		// mochi keeps to these, but does not tell.
		pk.Properties.MaximumPacketSize = uint32(h.b.cfg.MaxPacket)
		pk.Properties.TopicAliasMaximum = topicAliases
	}
	return pk
}

// OnWill is called when a client is lost. mochi gets a will of nothing, so that
// it does all but publishing it.
func (h *hook) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	connOf(cl).will = will
	return mqtt.Will{}, nil
}

// OnWillSent publishes the will of a client, which is worth what another message
// of it would be now. There is nobody to acknowledge it to.
func (h *hook) OnWillSent(cl *mqtt.Client, _ packets.Packet) {
	c := connOf(cl)
	will := c.will
	if !c.grant.mayPublish(will.TopicName) {
		h.b.forbidden.Add(1)
		h.b.log.Warn("mqtt will not published: its client may not any more", "topic", fettle.Shorten(will.TopicName), "client", cl.ID)
		return
	}
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: will.Qos, Retain: will.Retain},
		TopicName:   will.TopicName, Payload: will.Payload, Properties: packets.Properties{User: will.User},
		ProtocolVersion: cl.Properties.ProtocolVersion, Origin: cl.ID, Created: time.Now().Unix(),
	}
	if will.Retain && !h.b.mayRetain(&pk, cl) {
		pk.FixedHeader.Retain = false
	}
	m := &message{letter: newLetter(&pk), outcome: taken}
	if !h.b.work.begin() {
		return
	}
	settle := func(outcome packets.Code) {
		m.outcome = outcome
		h.b.passOn([]*message{m}, false) // whoever settles must not wait
		h.b.work.end()
	}
	if !h.b.cfg.Wants(will.TopicName) {
		settle(taken)
		return
	}
	h.b.take(Message{Topic: will.TopicName, Payload: will.Payload, Client: cl.ID}, settle)
}

func (h *hook) OnRetainedExpired(topic string) {
	h.b.retained.set(topic, 0)
	h.b.keeper.retainedChanged(topic)
}

// connOf is the connection of a client from outside.
func connOf(cl *mqtt.Client) *conn { return cl.Net.Conn.(*conn) }
