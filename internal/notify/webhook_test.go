package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fettle"
)

const (
	token  = "T0K3N-in-the-path"
	secret = "0123456789abcdef"
)

func hook(t *testing.T, url string) *webhook {
	t.Helper()
	w, err := newWebhook(Receiver{Name: "a", Webhook: url + "/hook/" + token + "?key=" + token, Secret: secret}, nil, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var aLetter = letter{id: "K7", made: noon, json: []byte(`{"id":"K7"}`)}

func TestWebhookIsSigned(t *testing.T) {
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	if err := hook(t, server.URL).send(t.Context(), aLetter); err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("1767268800." + string(body)))
	want := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	h := got.Header
	if got.Method != "POST" || h.Get("Fettle-Timestamp") != "1767268800" || h.Get("Fettle-Signature") != want || h.Get("Fettle-Id") != "K7" || h.Get("Content-Type") != "application/json" {
		t.Errorf("got %s with %v, expected signature %s", got.Method, h, want)
	}
	if string(body) != `{"id":"K7"}` {
		t.Errorf("body is %s", body)
	}
}

// Whatever a receiver answers, an error shows no secret and says whether it is
// worth another attempt.
func TestAnswersOfWebhooks(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a message went to another host: %s %s", r.Method, r.URL)
	}))
	defer other.Close()
	to := func(status int, where string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/new" {
				body, _ := io.ReadAll(r.Body)
				if r.Method != "POST" || string(body) != string(aLetter.json) || r.Header.Get(signatureHeader) == "" {
					t.Errorf("after a redirect: %s %q %v", r.Method, body, r.Header)
				}
				return
			}
			w.Header().Set("Location", where)
			w.WriteHeader(status)
		}
	}
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const taken = fettle.Kind(-1)
	for _, c := range []struct {
		what   string
		answer http.HandlerFunc
		kind   fettle.Kind
		text   string
	}{
		{"200", says(200, "ok"), taken, ""},
		{"204", says(204, ""), taken, ""},
		{"500", says(500, "database\nis <b>down</b>"), fettle.Unavailable, "500 Internal Server Error database is <b>down</b>"},
		{"503 that repeats the token", says(503, "no "+token), fettle.Unavailable, "no (secret)"},
		{"429", says(429, ""), fettle.Unavailable, "429"},
		{"401", says(401, ""), fettle.Unavailable, "401"},
		{"404", says(404, ""), fettle.Unavailable, "404"},
		{"400", says(400, "bad field"), fettle.Invalid, "400 Bad Request bad field"},
		{"410", says(410, ""), fettle.Invalid, "410"},
		{"304", says(304, ""), fettle.Unavailable, "304"},
		{"an endless answer", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(502)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, fettle.Unavailable, "502"},
		{"an endless good answer", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, taken, ""},
		{"huge headers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, fettle.Unavailable, "headers exceeded"},
		{"a broken connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fettle.Unavailable, "EOF"},
		{"redirect on the same host", to(307, "/new"), taken, ""},
		{"redirect to another host", to(307, other.URL+"/"+token), fettle.Unavailable, "it redirects to " + other.URL},
		{"redirect that drops the message", to(302, "/new"), fettle.Unavailable, "it redirects in a way that drops the message"},
		{"redirect in circles", to(308, "/again"), fettle.Unavailable, "it redirects more than 3 times"},
	} {
		server := httptest.NewServer(c.answer)
		err := hook(t, server.URL).send(t.Context(), aLetter)
		switch {
		case c.kind == taken && err != nil, c.kind != taken && (err == nil || fettle.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text)):
			t.Errorf("%s: %v (kind %d), expected %q (kind %d)", c.what, err, fettle.KindOf(err), c.text, c.kind)
		case err != nil && (strings.Contains(err.Error(), token) || len(err.Error()) > 600):
			t.Errorf("%s: error shows %v", c.what, err)
		}
		server.Close()
	}
}

func TestWebhookThatIsNotThere(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	err := hook(t, server.URL).send(t.Context(), aLetter)
	if fettle.KindOf(err) != fettle.Unavailable || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestWebhookThatHangs(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := hook(t, server.URL).send(ctx, aLetter)
	if fettle.KindOf(err) != fettle.Unavailable || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("it hangs: %v", err)
	}
}
