package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// A client speaks just enough MQTT 3.1.1 to publish, so that it costs next to
// nothing beside the broker that it measures. It has one message under way.
type client struct {
	conn   net.Conn
	answer [4]byte
}

// patience is how long a whole load may take.
const patience = 2 * time.Minute

// The first bytes of packets: the kind of packet and its flags.
const (
	connect   = 0x10
	publish   = 0x30 | qos1<<1
	subscribe = 0x82
	qos1      = 1
)

func dial(address, id string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn}
	const version, cleanSession = 4, 0x02
	head := append(text("MQTT"), version, cleanSession, 0, 0) // no keep-alive
	err = conn.SetDeadline(time.Now().Add(patience))
	if err == nil {
		err = c.exchange(packet(connect, head, text(id)), []byte{0x20, 2, 0, 0})
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return c, nil
}

func (c *client) close() { c.conn.Close() }

// subscribe asks for messages at QoS 0.
func (c *client) subscribe(filter string) error {
	if _, err := c.conn.Write(packet(subscribe, []byte{0, 1}, text(filter), []byte{0})); err != nil {
		return err
	}
	_, err := io.ReadFull(c.conn, make([]byte, 5))
	return err
}

// drain reads until the connection ends.
func (c *client) drain() { _, _ = io.Copy(io.Discard, c.conn) }

// publishPacket is a message of QoS 1, ready to be sent. All have the same
// identifier: there is only ever one under way.
func publishPacket(topic string, payload []byte) []byte {
	return packet(publish, text(topic), []byte{0, 1}, payload)
}

// publish sends a packet and waits for its acknowledgement.
func (c *client) publish(packet []byte) error {
	return c.exchange(packet, []byte{0x40, 2, 0, 1})
}

// exchange sends a packet and wants an answer of four bytes.
func (c *client) exchange(packet, want []byte) error {
	if _, err := c.conn.Write(packet); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.conn, c.answer[:]); err != nil {
		return err
	}
	if !bytes.Equal(c.answer[:], want) {
		return fmt.Errorf("the broker answered % x, want % x", c.answer, want)
	}
	return nil
}

func packet(kind byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	// MQTT's variable byte integer is encoding/binary's Uvarint.
	return append(binary.AppendUvarint([]byte{kind}, uint64(len(body))), body...)
}

// text is a string as MQTT writes it: its length in two bytes, then its bytes.
func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}
