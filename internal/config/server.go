package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fettle"
	"fettle/internal/rename"
)

// A Server is the note that a running server leaves in its data folder, so
// that commands started beside it find it and may administer it.
type Server struct {
	PID       int       `json:"pid"`
	HTTP      string    `json:"http"`                 // address as dialled from this computer, "127.0.0.1:8000"
	KeyedHTTP string    `json:"keyed_http,omitempty"` // empty: off
	MQTT      string    `json:"mqtt"`
	WebSocket string    `json:"websocket,omitempty"` // empty: off
	Token     Secret    `json:"-"`                   // lets its bearer administer this one run of the server
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
}

// serverFile is the note's name. A reader takes it as a hint only: after a
// crash it names a server that is gone, and the lock of the data folder is
// what tells the truth.
const serverFile = "server.json"

// noted is a Server as it stands in the file: with the token.
type noted struct {
	Server
	Token string `json:"token"`
}

// WriteServer puts the note into the data folder, readable by the owner only.
// It appears whole or not at all.
func WriteServer(dir string, s Server) error {
	text, err := json.MarshalIndent(noted{Server: s, Token: s.Token.Reveal()}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", serverFile, err)
	}
	draft, err := os.CreateTemp(dir, "."+serverFile+"-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", serverFile, err)
	}
	_, err = draft.Write(append(text, '\n'))
	err = errors.Join(err, draft.Close())
	if err == nil {
		err = rename.To(draft.Name(), filepath.Join(dir, serverFile))
	}
	if err != nil {
		os.Remove(draft.Name())
		return fmt.Errorf("write %s: %w", serverFile, err)
	}
	return nil
}

// ReadServer reads the note; NotFound if no server left one. That there is one
// does not say that the server still runs.
func ReadServer(dir string) (Server, error) {
	path := filepath.Join(dir, serverFile)
	text, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Server{}, fettle.Errorf(fettle.NotFound, "no server has left %s", path)
	}
	if err != nil {
		return Server{}, fmt.Errorf("read %s: %w", path, err)
	}
	var n noted
	if err := json.Unmarshal(text, &n); err != nil {
		return Server{}, fmt.Errorf("read %s: %w", path, err)
	}
	n.Server.Token = Secret(n.Token)
	return n.Server, nil
}

// RemoveServer takes the note away when its server stops. A note that another
// process has written since is left alone.
func RemoveServer(dir string, pid int) error {
	s, err := ReadServer(dir)
	if fettle.KindOf(err) == fettle.NotFound || (err == nil && s.PID != pid) {
		return nil
	}
	if err := os.Remove(filepath.Join(dir, serverFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", serverFile, err)
	}
	return nil
}
