package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fettle/internal/config"
	"fettle/internal/db"
)

// A server that was asked and does not end is named; one that ends is waited for.
func TestStopWaitsForTheFolder(t *testing.T) {
	data := config.Data{Dir: t.TempDir()}
	store, err := db.Open(data.Store(), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	deaf, asked := true, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/api/v1/stop" {
			if asked++; !deaf {
				go store.Close()
			}
			w.WriteHeader(http.StatusAccepted)
			return
		}
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	note := config.Server{PID: 4711, HTTP: server.Listener.Addr().String(), Token: "t"}
	if err := config.WriteServer(data.Dir, note); err != nil {
		t.Fatal(err)
	}
	g := &globals{Data: data.Dir}
	err = (&stopCmd{Within: time.Millisecond}).Run(t.Context(), g)
	if err == nil || !strings.Contains(err.Error(), "pid 4711") || !strings.Contains(err.Error(), "still there after 1ms") {
		t.Errorf("%v", err)
	}
	deaf = false
	if err := (&stopCmd{Within: time.Minute}).Run(t.Context(), g); err != nil || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}
