package broker

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/mochi-mqtt/server/v2/packets"
)

func dialWebSocket(t *testing.T, b *Broker, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}}
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	ws, response, err := dialer.Dial("ws://"+b.WebSocketAddr()+"/mqtt", header)
	if err == nil {
		t.Cleanup(func() { ws.Close() })
	}
	return ws, response, err
}

func TestWebSocketCarriesMQTT(t *testing.T) {
	var in inbox
	b := start(t, Config{WebSocket: "127.0.0.1:0", Wants: sensors}, in.receive)
	ws, response, err := dialWebSocket(t, b, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Sec-Websocket-Protocol"); got != "mqtt" {
		t.Errorf("subprotocol is %q, want mqtt", got)
	}
	stream := &wsConn{Conn: ws.NetConn(), ws: ws}
	c := &client{t: t, net: stream, r: bufio.NewReader(stream), version: 4}
	connect := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: 4,
		Connect: packets.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true, ClientIdentifier: "ws", Keepalive: 60}}
	message := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 4,
		TopicName: "sensor/data", Payload: []byte("{}"), PacketID: 1}
	// Packets may share a frame, and frames may cut packets.
	var bytes bytes.Buffer
	if err := connect.ConnectEncode(&bytes); err != nil {
		t.Fatal(err)
	}
	if err := message.PublishEncode(&bytes); err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{bytes.Bytes()[:3], nil, bytes.Bytes()[3:]} {
		if err := ws.WriteMessage(websocket.BinaryMessage, part); err != nil {
			t.Fatal(err)
		}
	}
	c.want(packets.Connack)
	c.want(packets.Puback)
	if got := in.all(); len(got) != 1 || got[0].Topic != "sensor/data" {
		t.Errorf("received %v", got)
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	c.wantClosed()
}

func TestWebSocketOrigin(t *testing.T) {
	open := start(t, Config{WebSocket: "127.0.0.1:0"}, nil)
	closed := start(t, Config{WebSocket: "127.0.0.1:0", Users: []User{{"a", "b"}}}, nil)
	for _, c := range []struct {
		origin string
		in     bool
	}{{"", true}, {"http://localhost:3000", true}, {"https://127.0.0.1:9001", true}, {"http://[::1]", true},
		{"https://evil.example", false}, {"http://localhost.evil.example", false}, {"null", false}} {
		if _, _, err := dialWebSocket(t, open, c.origin); (err == nil) != c.in {
			t.Errorf("without users, origin %q: %v", c.origin, err)
		}
		if _, _, err := dialWebSocket(t, closed, c.origin); err != nil {
			t.Errorf("with users, origin %q: %v, want a chance to give a password", c.origin, err)
		}
	}
}

func TestWebSocketAnswersOtherRequests(t *testing.T) {
	b := start(t, Config{WebSocket: "127.0.0.1:0"}, nil)
	response, err := http.Get("http://" + b.WebSocketAddr())
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("status is %d, want 400", response.StatusCode)
	}
}
