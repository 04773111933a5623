package broker

import (
	"context"
	"net/url"
	"testing"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"fettle"
)

// TestPaho has Eclipse's client for MQTT 5 talk to the broker, over TCP and
// WebSocket, at every QoS.
func TestPaho(t *testing.T) {
	var in inbox
	b := start(t, Config{WebSocket: "127.0.0.1:0", Wants: sensors}, func(ctx context.Context, m Message) error {
		if string(m.Payload) == "too much" {
			return fettle.Errorf(fettle.Busy, "queue is full")
		}
		return in.receive(ctx, m)
	})
	for _, address := range []string{"mqtt://" + b.Addr(), "ws://" + b.WebSocketAddr() + "/mqtt"} {
		t.Run(address[:4], func(t *testing.T) {
			came := make(chan string, 10)
			c := dialPaho(t, address, came)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "sensor/#", QoS: 2}}}); err != nil {
				t.Fatal(err)
			}
			before := len(in.all())
			for qos := range byte(3) {
				if _, err := c.Publish(ctx, &paho.Publish{Topic: "sensor/data", Payload: []byte{'0' + qos}, QoS: qos}); err != nil {
					t.Errorf("QoS %d: %v", qos, err)
				}
				if got, want := <-came, string('0'+rune(qos)); got != want {
					t.Errorf("QoS %d: %q came back, want %q", qos, got, want)
				}
			}
			if got := len(in.all()) - before; got != 3 {
				t.Errorf("%d messages were received, want 3", got)
			}
			for qos := byte(1); qos <= 2; qos++ {
				answer, _ := c.Publish(ctx, &paho.Publish{Topic: "sensor/data", Payload: []byte("too much"), QoS: qos})
				if answer == nil || answer.ReasonCode != 0x97 {
					t.Errorf("QoS %d: busy is answered %+v, want 0x97", qos, answer)
				}
			}
		})
	}
}

func dialPaho(t *testing.T, address string, came chan<- string) *autopaho.ConnectionManager {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{u},
		KeepAlive:  30,
		ClientConfig: paho.ClientConfig{
			ClientID: "paho",
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
				came <- string(p.Packet.Payload)
				return true, nil
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); <-c.Done() })
	waiting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if err := c.AwaitConnection(waiting); err != nil {
		t.Fatal(err)
	}
	return c
}
