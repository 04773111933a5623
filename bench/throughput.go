package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle/internal/plant"
	"fettle/internal/process"
)

// throughput counts QoS 1 messages acknowledged a second. fettle has each on
// disk by then, as a reading, and judges it beside that; Mosquitto has handed it
// to a subscriber.
func (b *bench) throughput(ctx context.Context) error {
	for _, load := range []struct {
		clients, messages int
		goal              string
	}{{1, 4_000, ">= 2,000/s"}, {100, 600, ">= 20,000/s"}} {
		packets, err := packetsOf(load.clients, load.messages)
		if err != nil {
			return err
		}
		var ours, theirs []float64
		for range rounds {
			rate, err := b.rateOfOurs(ctx, packets)
			if err != nil {
				return err
			}
			ours = append(ours, rate)
			if rate, err = b.rateOfMosquitto(ctx, packets); err != nil {
				return err
			}
			theirs = append(theirs, rate)
		}
		row(fmt.Sprintf("MQTT QoS 1, clients that wait for each answer: %d", load.clients), "%.0f/s", median(ours), load.goal)
		row(fmt.Sprintf("  Mosquitto, which stores nothing (fettle has %.2f of it)", median(ours)/median(theirs)), "%.0f/s", median(theirs), "")
	}
	return nil
}

// packetsOf makes what each client sends: messages of a machine of its own, as
// if it had sent all of them live until now at about the rate to be measured.
func packetsOf(clients, messages int) ([][][]byte, error) {
	names, err := plant.Names(clients)
	if err != nil {
		return nil, err
	}
	const rate = 20_000 // messages a second
	interval := max(time.Millisecond, time.Second*time.Duration(clients)/rate)
	start := time.Now().Add(-time.Duration(messages) * interval)
	machines, err := plant.New(plant.Options{Names: names, Start: start, Interval: interval})
	if err != nil {
		return nil, err
	}
	packets := make([][][]byte, clients)
	for range messages {
		_, tick := machines.Next()
		for i, m := range tick {
			packets[i] = append(packets[i], publishPacket(m.Topic, m.Payload))
		}
	}
	return packets, nil
}

func (b *bench) rateOfOurs(ctx context.Context, packets [][][]byte) (float64, error) {
	s, err := b.start(ctx)
	if err != nil {
		return 0, err
	}
	defer s.Stop()
	return publishRate(s.MQTT, packets)
}

func (b *bench) rateOfMosquitto(ctx context.Context, packets [][][]byte) (float64, error) {
	m, err := process.StartMosquitto(ctx, b.folder)
	if err != nil {
		return 0, err
	}
	defer m.Stop()
	subscriber, err := dial(m.Address, "subscriber")
	if err != nil {
		return 0, err
	}
	defer subscriber.close()
	if err := subscriber.subscribe("#"); err != nil {
		return 0, err
	}
	go subscriber.drain() // ends with its connection
	return publishRate(m.Address, packets)
}

// publishRate lets each client send its packets, one at a time, and returns how
// many were acknowledged a second.
func publishRate(address string, packets [][][]byte) (float64, error) {
	clients := make([]*client, len(packets))
	for i := range clients {
		var err error
		if clients[i], err = dial(address, fmt.Sprint("client-", i)); err != nil {
			return 0, err
		}
		defer clients[i].close()
	}
	total := 0
	began := time.Now()
	var sending errgroup.Group
	for i, own := range packets {
		total += len(own)
		sending.Go(func() error {
			for _, packet := range own {
				if err := clients[i].publish(packet); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := sending.Wait()
	return float64(total) / time.Since(began).Seconds(), err
}
