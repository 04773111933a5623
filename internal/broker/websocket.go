package broker

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"

	"github.com/gorilla/websocket"
)

// serveWebSocket is the serveFunc of MQTT in WebSocket frames, on any path.
func serveWebSocket(originAllowed func(*http.Request) bool) serveFunc {
	return func(l net.Listener, handle func(net.Conn), log *slog.Logger) {
		upgrader := websocket.Upgrader{
			HandshakeTimeout: connectTime,
			Subprotocols:     []string{"mqtt", "mqttv3.1"},
			CheckOrigin:      originAllowed,
		}
		server := &http.Server{
			ReadHeaderTimeout: connectTime,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ws, err := upgrader.Upgrade(w, r, nil) // answers what it refuses
				if err != nil {
					log.Debug("mqtt websocket refused", "remote", r.RemoteAddr, "err", err)
					return
				}
				handle(&wsConn{Conn: ws.NetConn(), ws: ws})
			}),
		}
		defer server.Close() // of those that asked for something else
		if err := server.Serve(l); !errors.Is(err, net.ErrClosed) {
			log.Error("serve mqtt over websocket", "err", err)
		}
	}
}

// originAllowed decides about pages in browsers, which any web site can make
// connect to this computer. With users they need a password like everybody;
// without, only pages of this computer itself may.
func (b *Broker) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || b.anyUsers() {
		return true
	}
	u, err := url.Parse(origin)
	if err == nil && isLoopback(u.Hostname()) {
		return true
	}
	b.rejected.Add(1)
	b.log.Warn("mqtt websocket refused: a page of another host, and no users to ask for a password",
		"origin", origin, "remote", r.RemoteAddr, "setting", "mqtt.users")
	return false
}

// A wsConn is a WebSocket as a stream of bytes: frames are only how it travels.
type wsConn struct {
	net.Conn // for addresses, deadlines and closing
	ws       *websocket.Conn
	frame    io.Reader // the rest of the frame being read
}

func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if c.frame == nil {
			kind, frame, err := c.ws.NextReader()
			var closed *websocket.CloseError
			switch {
			case errors.As(err, &closed):
				return 0, io.EOF
			case err != nil:
				return 0, err
			case kind != websocket.BinaryMessage:
				return 0, errors.New("websocket frame of text; MQTT travels in binary frames")
			}
			c.frame = frame
		}
		n, err := c.frame.Read(p)
		if errors.Is(err, io.EOF) {
			c.frame, err = nil, nil
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

func (c *wsConn) Write(p []byte) (int, error) {
	if err := c.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
