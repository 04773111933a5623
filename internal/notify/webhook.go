package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fettle"
)

// Headers of what goes to a webhook. The signature is the HMAC-SHA256, with the
// receiver's secret, of the timestamp, a full stop and the body, in hexadecimal:
//
//	Fettle-Id: K7Q3…                 the message's id, the same for every attempt
//	Fettle-Timestamp: 1764044400     seconds since 1970, of this attempt
//	Fettle-Signature: sha256=5d41…
const (
	idHeader        = "Fettle-Id"
	timestampHeader = "Fettle-Timestamp"
	signatureHeader = "Fettle-Signature"
)

// Limits of an answer; nobody reads more of it.
const (
	maxAnswer  = 4 << 10 // bytes of the body
	maxHeaders = 64 << 10
	maxHops    = 3   // redirects
	maxReason  = 400 // bytes of what a receiver says that an error repeats

	leastToken = 8 // bytes of a part of a URL that is taken for a token
)

// A webhook posts to one URL.
type webhook struct {
	url     *url.URL
	secret  string
	secrets []string // not to be shown
	client  *http.Client
	now     func() time.Time
}

func newWebhook(r Receiver, trust *tls.Config, now func() time.Time) (*webhook, error) {
	u, err := url.Parse(r.Webhook)
	if err != nil || u.Host == "" {
		return nil, fettle.Errorf(fettle.Invalid, "receiver %s: the webhook is no URL", r.Name)
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust, MaxResponseHeaderBytes: maxHeaders,
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}
	return &webhook{
		url: u, secret: r.Secret, secrets: secretsOf(r, u),
		client: &http.Client{Transport: transport, CheckRedirect: sameHost}, now: now,
	}, nil
}

func (w *webhook) place() string { return w.url.Scheme + "://" + w.url.Host }

// sameHost follows a redirect that stays where the receiver is and repeats the
// message: the body is for nobody else.
func sameHost(next *http.Request, via []*http.Request) error {
	from := via[0]
	switch {
	case next.URL.Host != from.URL.Host || next.URL.Scheme != from.URL.Scheme:
		return fmt.Errorf("it redirects to %s://%s, which is not followed; set the webhook to that address if it is right", next.URL.Scheme, next.URL.Host)
	case next.Method != from.Method:
		return errors.New("it redirects in a way that drops the message (expected 307 or 308)")
	case len(via) > maxHops:
		return fmt.Errorf("it redirects more than %d times", maxHops)
	}
	return nil
}

// send posts a letter. Any 2xx takes it; the rest of the answer is not read.
func (w *webhook) send(ctx context.Context, l letter) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.String(), bytes.NewReader(l.json))
	if err != nil {
		return w.fail(fettle.Unavailable, err.Error())
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "fettle")
	request.Header.Set(idHeader, l.id)
	w.sign(request.Header, l.json)
	response, err := w.client.Do(request)
	if err != nil {
		var bare *url.Error
		if errors.As(err, &bare) {
			err = bare.Err // without the URL
		}
		return w.fail(fettle.Unavailable, err.Error())
	}
	defer response.Body.Close()
	if response.StatusCode/100 == 2 {
		return nil
	}
	reason, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // only to say more in the error
	return w.fail(kindOf(response.StatusCode), strings.TrimSpace(response.Status+" "+readable(reason)))
}

// sign adds when the request was made, and proof of who made it.
func (w *webhook) sign(header http.Header, body []byte) {
	timestamp := strconv.FormatInt(w.now().Unix(), 10)
	header.Set(timestampHeader, timestamp)
	if w.secret == "" {
		return
	}
	mac := hmac.New(sha256.New, []byte(w.secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	header.Set(signatureHeader, "sha256="+hex.EncodeToString(mac.Sum(nil)))
}

// mendable are refusals that somebody may put right without the message
// changing: an address, a key, a proxy, a rate.
var mendable = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusProxyAuthRequired,
	http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
}

// kindOf tells whether a message will never be taken.
func kindOf(status int) fettle.Kind {
	if status/100 == 4 && !slices.Contains(mendable, status) {
		return fettle.Invalid
	}
	return fettle.Unavailable
}

// fail words an error without the secrets that are in the URL.
func (w *webhook) fail(kind fettle.Kind, text string) error {
	return fettle.Errorf(kind, "post to %s: %s", w.place(), hide(text, w.secrets...))
}

// secretsOf lists what of a receiver nobody shall read: its URL whole, and the
// parts of it that could be a token.
func secretsOf(r Receiver, u *url.URL) []string {
	password, _ := u.User.Password()
	secrets := []string{r.Secret, u.String(), u.RequestURI(), password}
	parts := strings.Split(u.Path, "/")
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	for _, part := range parts {
		if len(part) >= leastToken {
			secrets = append(secrets, part)
		}
	}
	return secrets
}

// readable is the beginning of what a receiver says, in one line.
func readable(answer []byte) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(answer))
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// hide puts "(secret)" in the place of secrets. A short one could be any word.
func hide(text string, secrets ...string) string {
	for _, s := range secrets {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, s, "(secret)")
		}
	}
	return text
}
