package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"fettle"
	"fettle/internal/bridge"
	"fettle/internal/config"
	"fettle/internal/plant"
)

// brokerFlags say where messages are published.
type brokerFlags struct {
	Broker   string `default:"mqtt://127.0.0.1:1883" placeholder:"URL" env:"FETTLE_BROKER" help:"Broker to publish to: mqtt://, mqtts://, ws:// or wss:// (default: ${default})."`
	User     string `placeholder:"NAME" env:"FETTLE_BROKER_USER" help:"User name at the broker."`
	Password string `placeholder:"TEXT" env:"FETTLE_BROKER_PASSWORD" help:"Password at the broker; rather set the variable, which other users cannot see."`
}

// A publisher takes messages for a broker. Publish returns when the message is
// under way, Flush when all are acknowledged.
type publisher interface {
	Publish(ctx context.Context, topic string, payload []byte, qos byte) error
	Flush(ctx context.Context) error
	Stats() bridge.Stats
}

func (b brokerFlags) dial(ctx context.Context) (*bridge.Client, error) {
	log := newLogger(os.Stderr, config.Log{Level: "info", Format: "text"})
	client, err := bridge.Dial(ctx, bridge.Options{URL: b.Broker, User: b.User, Password: b.Password, Log: log})
	if fettle.KindOf(err) == fettle.Unavailable {
		return nil, fmt.Errorf("%w; `fettle serve` is a broker, --broker names another", err)
	}
	return client, err
}

// sent counts what went out; it is what simulate and replay sum up with.
type sent struct {
	Messages     int     `json:"messages"`
	Acknowledged int64   `json:"acknowledged"`
	Refused      int64   `json:"refused,omitempty"`
	NotAsked     int     `json:"not_asked,omitempty"` // QoS 0: nobody acknowledges
	BadLines     int     `json:"bad_lines,omitempty"`
	Seconds      float64 `json:"seconds"`
	started      time.Time
}

// publish sends a message and counts it.
func (s *sent) publish(ctx context.Context, to publisher, m plant.Message) error {
	if err := to.Publish(ctx, m.Topic, m.Payload, m.QoS); err != nil {
		return fmt.Errorf("publish message %d: %w", s.Messages+1, err)
	}
	s.Messages++
	if m.QoS == 0 {
		s.NotAsked++
	}
	return nil
}

// lastWords is how long the broker gets, at the end, to acknowledge what is
// still under way.
const lastWords = 10 * time.Second

// finish waits for the acknowledgements that are missing, also after Ctrl-C.
func (s *sent) finish(ctx context.Context, to publisher) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	err := to.Flush(ctx)
	s.Seconds = time.Since(s.started).Seconds()
	s.Acknowledged, s.Refused = to.Stats().Acknowledged, to.Stats().Refused
	if err != nil {
		return fmt.Errorf("not all messages were acknowledged: %w", err)
	}
	return nil
}

// print sums up.
func (s *sent) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(out, s)
	}
	noun := "messages"
	if s.Messages == 1 {
		noun = "message"
	}
	text := fmt.Sprintf("%d %s sent in %s", s.Messages, noun, duration(s.Seconds))
	if s.Messages > s.NotAsked {
		text += fmt.Sprintf(", %d acknowledged", s.Acknowledged)
	}
	if s.Refused > 0 {
		text += fmt.Sprintf(", %d refused", s.Refused)
	}
	if s.NotAsked > 0 {
		text += fmt.Sprintf(", %d without asking for it (QoS 0)", s.NotAsked)
	}
	if s.BadLines > 0 {
		text += fmt.Sprintf(", %d lines left out", s.BadLines)
	}
	_, err := fmt.Fprintln(out, text+".")
	return err
}

// sleepUntil waits for a time; early if the context ends.
func sleepUntil(ctx context.Context, t time.Time) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// note tells a person something beside the output.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
