package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/bridge"
	"fettle/internal/codec"
	"fettle/internal/config"
	"fettle/internal/db"
)

// An outsideBroker is one of ingest.mqtt.
type outsideBroker struct {
	name string
	*bridge.Subscriber
}

// openOutside makes the subscribers of the outside brokers.
func (a *App) openOutside() error {
	if len(a.cfg.Ingest.MQTT) == 0 {
		return nil
	}
	folder, err := a.folderID()
	if err != nil {
		return err
	}
	for i, b := range a.cfg.Ingest.MQTT {
		subscriber, err := a.newOutside(b, folder)
		if err != nil {
			return fmt.Errorf("ingest.mqtt[%d]: %w", i, err)
		}
		a.outside = append(a.outside, outsideBroker{b.Title(), subscriber})
	}
	return nil
}

func (a *App) newOutside(b config.OutsideBroker, folder string) (*bridge.Subscriber, error) {
	patterns := b.Topics
	if len(patterns) == 0 {
		patterns = a.cfg.Ingest.Topics
	}
	topics, err := codec.NewTopics(patterns)
	if err != nil {
		return nil, err
	}
	id := b.ClientID
	if id == "" {
		sum := sha256.Sum256([]byte(folder + " " + b.Title()))
		id = "fettle" + hex.EncodeToString(sum[:8]) // 22 letters: 3.1.1 promises to take 23
	}
	former, err := a.formerFilters(b.Title(), topics.Filters())
	if err != nil {
		return nil, err
	}
	return bridge.NewSubscriber(bridge.Subscription{
		URL: b.URL, User: b.User, Password: b.Password.Reveal(), TLS: bridge.TLSFiles{CA: b.TLSCA, Cert: b.TLSCert, Key: b.TLSKey},
		ClientID: id, Filters: topics.Filters(), Former: former, Window: b.Window, Own: a.ownBrokers, Log: a.logOf("bridge"),
	}, a.flow.receiveFrom(b.Title(), topics))
}

// folderIDKey holds what tells this data folder from all others.
const folderIDKey = "b/id"

// folderID is made up once. Sessions at outside brokers are named by it, so that
// they outlive the computer's name and the folder's place.
func (a *App) folderID() (string, error) {
	id, found, err := a.db.Get([]byte(folderIDKey))
	if err != nil || found {
		return string(id), err
	}
	fresh := rand.Text()
	batch := a.db.NewBatch()
	batch.Set([]byte(folderIDKey), []byte(fresh))
	if err := a.db.Commit(batch, db.Synced); err != nil {
		return "", fmt.Errorf("keep the folder's identity: %w", err)
	}
	return fresh, nil
}

// formerPrefix stands before the name of a broker. The record holds the filters
// that were ever subscribed to there, the newest first.
const formerPrefix = "b/f/"

// formerFilters returns the filters that a broker may still have in our session
// and that are none of those wanted now, and remembers these.
func (a *App) formerFilters(broker string, now []string) (former []string, err error) {
	key := []byte(formerPrefix + broker)
	text, found, err := a.db.Get(key)
	if err != nil {
		return nil, err
	}
	var known []string
	if found {
		if err := json.Unmarshal(text, &known); err != nil {
			return nil, fmt.Errorf("read the subscriptions at %s: %w", broker, err)
		}
	}
	former = slices.DeleteFunc(slices.Clone(known), func(filter string) bool { return slices.Contains(now, filter) })
	former = former[:min(len(former), max(0, bridge.MaxFilters-len(now)))]
	all := append(slices.Clone(now), former...)
	if slices.Equal(all, known) {
		return former, nil
	}
	if text, err = json.Marshal(all); err != nil {
		return nil, err
	}
	batch := a.db.NewBatch()
	batch.Set(key, text)
	if err := a.db.Commit(batch, db.Synced); err != nil {
		return nil, fmt.Errorf("keep the subscriptions at %s: %w", broker, err)
	}
	return former, nil
}

// ownBrokers are the addresses of the embedded broker.
func (a *App) ownBrokers() []string {
	b := a.flow.broker
	return []string{b.Addr(), b.WebSocketAddr(), b.TLSAddr(), b.TLSWebSocketAddr()}
}

// listenOutside keeps up the connections to the outside brokers. It begins when
// the embedded broker has its addresses, so that none of them is taken for
// somebody else's.
func (a *App) listenOutside(ctx context.Context) error {
	select {
	case <-a.flow.broker.Ready():
	case <-ctx.Done():
		return nil
	}
	var subscribers errgroup.Group
	for _, b := range a.outside {
		subscribers.Go(func() error { return b.Run(ctx) })
	}
	return subscribers.Wait()
}

// receiveFrom is receive for an outside broker.
func (p *pipeline) receiveFrom(name string, topics *codec.Topics) func(context.Context, bridge.Message, func(error)) {
	from := "mqtt " + name
	return func(ctx context.Context, m bridge.Message, done func(error)) {
		names, wanted := topics.Match(m.Topic)
		if !wanted { // as a topic with an empty name, or one of an earlier subscription that waited
			p.gate.Refuse(from+" "+m.Topic, m.Payload, fettle.BadField("unknown topic", "topic", fettle.Shorten(m.Topic), "one of the broker's topics"))
			done(nil)
			return
		}
		p.take(ctx, message{from: from, topic: m.Topic, names: names, payload: m.Payload, qos: m.QoS, old: m.Retained}, done)
	}
}

func (a *App) outsideStatus() []api.OutsideBroker {
	list := make([]api.OutsideBroker, len(a.outside))
	for i, b := range a.outside {
		s := b.State()
		list[i] = api.OutsideBroker{
			Name: b.name, URL: s.Broker, Protocol: s.Protocol, Connected: s.Connected, Since: s.Since.UTC(), Connections: s.Connections,
			LastError: s.LastError, Received: s.Received, Acknowledged: s.Acknowledged, Again: s.Again, Waiting: s.Waiting, LagSeconds: s.Lag.Seconds(),
		}
		if !s.LastErrorAt.IsZero() {
			at := s.LastErrorAt.UTC()
			list[i].LastErrorAt = &at
		}
	}
	return list
}

// lagging is how long a message of an outside broker may wait for the disk
// before somebody should know.
const lagging = 5 * time.Second

func (a *App) outsidePart() api.Part {
	brokers := a.outsideStatus()
	if len(brokers) == 0 {
		return api.Part{Name: "outside brokers", State: api.PartOff, Detail: "none"}
	}
	part := api.Part{Name: "outside brokers", State: api.PartOK}
	var received, acknowledged int64
	var troubles []string
	connected := 0
	for _, b := range brokers {
		received, acknowledged = received+b.Received, acknowledged+b.Acknowledged
		switch {
		case !b.Connected:
			trouble := b.LastError
			if trouble == "" {
				trouble = "connecting"
			}
			troubles = append(troubles, b.Name+": "+trouble)
			continue
		case b.LagSeconds > lagging.Seconds():
			troubles = append(troubles, fmt.Sprintf("%s: a message waits for the disk since %.0f s", b.Name, b.LagSeconds))
		case b.LastErrorAt != nil && b.LastErrorAt.After(b.Since): // a subscription that was refused
			troubles = append(troubles, b.Name+": "+b.LastError)
		}
		connected++
	}
	part.Detail = fmt.Sprintf("%d of %d connected, %d messages, %d acknowledged", connected, len(brokers), received, acknowledged)
	if len(troubles) > 0 {
		part.State = api.PartWarning
		part.Detail += "; " + strings.Join(troubles, "; ")
	}
	if connected == 0 {
		part.State = api.PartError
	}
	return part
}

func (a *App) outsideSamples() []api.Sample {
	var samples []api.Sample
	for _, b := range a.outsideStatus() {
		connected := 0.0
		if b.Connected {
			connected = 1
		}
		for _, s := range []api.Sample{
			{Name: "connected", Value: connected},
			{Name: "connections_total", Value: float64(b.Connections)},
			{Name: "messages_total", Value: float64(b.Received)},
			{Name: "acknowledged_total", Value: float64(b.Acknowledged)},
			{Name: "messages_again_total", Value: float64(b.Again)},
			{Name: "messages_waiting", Value: float64(b.Waiting)},
			{Name: "lag_seconds", Value: b.LagSeconds},
		} {
			samples = append(samples, api.Sample{Name: fmt.Sprintf("fettle_outside_broker_%s{broker=%q}", s.Name, b.Name), Value: s.Value})
		}
	}
	return samples
}
