//go:build browser

package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"fettle/internal/chromium"
	"fettle/internal/process"
	"fettle/internal/tunnel/fake"
)

// TestPhoneThroughATunnel: a phone far away, behind an edge that holds event
// streams back, sees the page with a key and nothing without.
func TestPhoneThroughATunnel(t *testing.T) {
	browser := chromium.Start(t)
	folder := filepath.Join(t.TempDir(), "data")
	server, err := process.Start(context.WithoutCancel(t.Context()), buildFettle(t), folder)
	if err != nil {
		t.Fatal(err)
	}
	edge := httptest.NewUnstartedServer(fake.Edge("http://"+server.KeyedHTTP, "203.0.113.9"))
	edge.Config.ErrorLog = log.New(io.Discard, "", 0) // a browser doubts its certificate at first
	edge.StartTLS()
	t.Cleanup(func() {
		edge.CloseClientConnections()
		edge.Close()
		server.Stop()
		if t.Failed() {
			t.Logf("fettle said:\n%s", server.Log())
		}
	})
	do := func(args ...string) string {
		t.Helper()
		out, err := server.Command(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	do("simulate", "--broker", "mqtt://"+server.MQTT, "--for", "500ms", "--interval", "100ms")
	made := strings.Split(strings.TrimSpace(do("key", "create", "phone")), "\n")
	key := made[len(made)-1]

	phone := func() *chromium.Tab {
		tab := chromium.NewTab(t, browser, 375, 812, chromedp.EmulateMobile, chromedp.EmulateScale(2))
		tab.Allow("403") // what a browser says of the form for the key
		tab.Do(trustsAnyCertificate)
		return tab
	}
	stranger := phone()
	for _, path := range []string{"/", "/m/lathe-1-spindle", "/alarms", "/docs", "/api/v1/machines", "/static/dashboard.html", "/predict/lathe-1-spindle", "/api/v1/events"} {
		stranger.Do(chromedp.Navigate(edge.URL + path))
		stranger.Shows("h1", "This needs a key")
		if text := stranger.Text("body"); strings.Contains(text, "lathe") || strings.Contains(text, "machine-") {
			t.Errorf("%s shows a stranger %q", path, text)
		}
	}

	holder := phone()
	holder.Do(chromedp.Navigate(edge.URL + "/"))
	holder.Do(chromedp.SendKeys(chromedp.CSS(`#key`), key), chromedp.Click(chromedp.CSS(`button`)))
	holder.Until(`document.body.dataset.live === 'live'`)
	holder.Until(`document.body.innerText.includes('lathe-1-spindle')`)
	holder.Until(`document.documentElement.scrollWidth <= innerWidth`)
	holder.Picture("tunnel-phone")
	// What comes later is seen too, although no stream gets through.
	do("simulate", "--broker", "mqtt://"+server.MQTT, "--for", "500ms", "--interval", "100ms", "--machines", "5")
	holder.Until(`document.body.innerText.includes('machine-0005')`)

	// And a key that is revoked opens nothing any more.
	do("key", "revoke", strings.Split(key, "_")[1])
	holder.Do(chromedp.Navigate(edge.URL + "/docs"))
	holder.Shows("h1", "This needs a key")

	leads := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	plain := httptest.NewServer(fake.Edge("http://"+server.KeyedHTTP, "203.0.113.9"))
	defer plain.Close()
	answer, err := leads.Get(plain.URL + "/predict/m?x=1")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if want := "https" + strings.TrimPrefix(plain.URL, "http") + "/predict/m?x=1"; answer.StatusCode != http.StatusTemporaryRedirect || answer.Header.Get("Location") != want {
		t.Errorf("by http: %s to %q, want 307 to %q", answer.Status, answer.Header.Get("Location"), want)
	}
}

// trustsAnyCertificate lets a tab believe the edge, which signs itself.
func trustsAnyCertificate(ctx context.Context, _ *chromedp.Target) (v chromedp.Void, err error) {
	_, err = chromedp.Call(ctx, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
	return v, err
}
