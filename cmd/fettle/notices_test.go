//go:build peers_light

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fettle"
	"fettle/internal/notify"
	"fettle/internal/process"
)

const (
	mailPassword = "correct horse"
	hookToken    = "T0K3N-of-the-chat"
	hookSecret   = "a secret of the chat"
)

// TestPeopleAreTold runs the real program with a real mail server and a
// webhook, both of which refuse, vanish and come back, while fettle is killed
// with -9: between an alarm and its notice, and between two attempts. Each
// change of an alarm arrives once, and of old history nothing does.
func TestPeopleAreTold(t *testing.T) {
	p := newTelling(t)
	p.start()
	begin := time.Now().Truncate(time.Second)

	p.post(begin.Add(-5*time.Hour), 1500, func(row int) bool { return row >= 600 && row < 660 }) // until 50 minutes ago
	p.until("the history to be judged, with an alarm", func() bool { return p.judged() && len(p.alarms("all")) > 0 && len(p.alarms("open")) == 0 })
	for _, s := range p.notices().Receivers {
		if s.Waiting > 0 || s.Sent > 0 {
			t.Errorf("an alarm of the history is told to %s: %+v", s.Receiver, s)
		}
	}
	old := len(p.alarms("all"))

	p.post(begin.Add(-15*time.Minute), 30, func(int) bool { return true })
	p.until("the alarm", func() bool { return len(p.alarms("all")) > old })
	p.server.Kill() // both refuse, so nothing is sent yet
	p.start()
	p.until("refusals", func() bool { return p.refused("maintenance", "451") && p.refused("chat", "503") })
	p.server.Kill()
	p.mail.Kill()
	p.hook.answer(http.StatusOK)
	p.start()
	p.until("the webhook", func() bool { return len(p.hook.envelopes()) > 0 })
	p.until("the mail server to be missed", func() bool { return p.refused("maintenance", "refused") })
	p.startMail()
	p.until("the mail", func() bool { return len(p.mails()) > 0 })

	p.post(begin.Add(-10*time.Minute), 70, func(int) bool { return false })
	p.until("all alarms to be over", func() bool { return len(p.alarms("open")) == 0 })
	p.until("everything to be told", func() bool {
		for _, s := range p.notices().Receivers {
			if s.Waiting > 0 {
				return false
			}
		}
		return true
	})
	p.checkHook()
	p.checkMails()
	p.checkCommands()
}

// A telling is one run of TestPeopleAreTold.
type telling struct {
	t                      *testing.T
	binary, folder, config string
	server                 *process.Server
	mail                   *process.MailServer
	hook                   *receivingHook
	logs                   strings.Builder
}

func newTelling(t *testing.T) *telling {
	dir := t.TempDir()
	p := &telling{t: t, binary: buildFettle(t), folder: filepath.Join(dir, "data"), config: filepath.Join(dir, "fettle.yaml"), hook: newHook(t)}
	var err error
	if p.mail, err = process.NewMailServer(dir, "starttls"); err != nil {
		t.Fatal(err)
	}
	p.startMail()
	t.Cleanup(func() { p.mail.Kill() })
	if err := p.mail.Order("RCPT 451"); err != nil {
		t.Fatal(err)
	}
	p.hook.answer(http.StatusServiceUnavailable)
	text := fmt.Sprintf(`
smtp: {server: "127.0.0.1:%d", user: fettle, password: %s, from: fettle@plant.example}
notify:
  link: https://fettle.example.com/
  group: 1s
  max_age: 30m
  ca: %s
  receivers:
    - {name: maintenance, email: [anna@plant.example]}
    - {name: chat, webhook: "%s/%s", secret: %s}
    - {name: others, webhook: "%s/others", machines: [lathe-*]}
`, p.mail.Port, mailPassword, p.mail.Cert, p.hook.URL, hookToken, hookSecret, p.hook.URL)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *telling) startMail() {
	p.t.Helper()
	if err := p.mail.Start(p.t.Context(), "../../scripts/peers/smtp.py"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *telling) start() {
	p.t.Helper()
	if p.server != nil {
		p.logs.WriteString(p.server.Log())
	}
	var err error
	if p.server, err = process.Start(p.t.Context(), p.binary, p.folder, "serve", "-c", p.config); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.server.Kill)
}

// post sends readings of a press, ten seconds apart; some are troubled.
func (p *telling) post(from time.Time, rows int, troubled func(row int) bool) {
	p.t.Helper()
	var list []map[string]any
	for i := range rows {
		vib := 20 + 5*math.Sin(float64(i)/7) + float64(i*7919%101)/100
		if troubled(i) {
			vib += 40
		}
		list = append(list, map[string]any{"machine": "press 3", "timestamp": from.Add(time.Duration(i) * 10 * time.Second), "vib": vib, "oil": 3 + float64(i*31%17)/100})
	}
	body, err := json.Marshal(list)
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := http.Post("http://"+p.server.HTTP+"/api/v1/readings", "application/json", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusNoContent {
		p.t.Fatalf("%s: %.500s", response.Status, answer)
	}
}

func (p *telling) until(what string, holds func() bool) {
	p.t.Helper()
	err := process.WaitFor(p.t.Context(), what, func() (bool, error) { return holds(), nil })
	if err != nil {
		p.t.Fatalf("%v\nnotices: %+v\nthe server said:\n%s", err, p.notices(), p.server.Log())
	}
}

func (p *telling) get(path string, into any) {
	p.t.Helper()
	if err := p.server.Get(p.t.Context(), path, into); err != nil {
		p.t.Fatal(err)
	}
}

func (p *telling) judged() bool {
	var list struct{ Machines []fettle.Machine }
	p.get("/api/v1/machines", &list)
	var verdicts struct{ Verdicts []fettle.Verdict }
	p.get("/api/v1/machines/press%203/verdicts?last=1", &verdicts)
	return len(verdicts.Verdicts) == 1 && !verdicts.Verdicts[0].Time.Before(list.Machines[0].Last.Add(-10*time.Second))
}

func (p *telling) alarms(state string) []fettle.Alarm {
	var list struct{ Alarms []fettle.Alarm }
	p.get("/api/v1/alarms?state="+state, &list)
	return list.Alarms
}

func (p *telling) notices() noticeAnswer {
	var list noticeAnswer
	p.get("/api/v1/notices", &list)
	return list
}

// refused tells whether a receiver has failed in this way while notices wait.
func (p *telling) refused(receiver, how string) bool {
	for _, s := range p.notices().Receivers {
		if s.Receiver == receiver {
			return s.Waiting > 0 && s.Attempts > 0 && strings.Contains(s.LastError, how)
		}
	}
	return false
}

func (p *telling) mails() []process.Mail {
	mails, err := p.mail.Mails()
	if err != nil {
		p.t.Fatal(err)
	}
	return mails
}

// checkHook wants every change of the alarms of today, each once.
func (p *telling) checkHook() {
	seen, ids := map[string]int{}, map[string]bool{}
	for _, e := range p.hook.envelopes() {
		if ids[e.ID] {
			p.t.Errorf("message %s came twice", e.ID)
		}
		ids[e.ID] = true
		for _, n := range e.Notices {
			seen[fmt.Sprint(n.Change, " ", n.Alarm.ID)]++
			if n.Alarm.Machine != "press 3" || n.Link != "https://fettle.example.com/m/press%203" {
				p.t.Errorf("notice is %+v", n)
			}
			if time.Since(n.Alarm.RaisedAt) > time.Hour {
				p.t.Errorf("an alarm of the history is told: %+v", n)
			}
		}
	}
	for what, times := range seen {
		if times != 1 {
			p.t.Errorf("%q was told %d times", what, times)
		}
	}
	for _, a := range p.alarms("all") {
		if time.Since(a.RaisedAt) < time.Hour && (seen[fmt.Sprint("raised ", a.ID)] != 1 || seen[fmt.Sprint("cleared ", a.ID)] != 1) {
			p.t.Errorf("alarm %d was not told whole: %v", a.ID, seen)
		}
	}
	if first := p.hook.first(); !p.verifiedByTheDocs(first) {
		p.t.Errorf("the signature is not what docs/notices.md says: %+v", first)
	}
	if p.hook.others > 0 {
		p.t.Error("a receiver of other machines was told")
	}
}

func (p *telling) checkMails() {
	mails := p.mails()
	first, last := mails[0], mails[len(mails)-1]
	lines := strings.Split(first.Text, "\n")
	if first.Subject != "Machine Condition Alert" || !strings.HasPrefix(lines[0], "Machine at Risk: Stay alert on vib (Checked at: 20") || !strings.HasSuffix(lines[0], "Z)") ||
		!strings.HasPrefix(lines[1], "press 3, priority ") || lines[2] != "https://fettle.example.com/m/press%203" {
		p.t.Errorf("the first mail is %+v", first)
	}
	if !first.TLS || first.User != "fettle" || strings.Join(first.To, " ") != "anna@plant.example" {
		p.t.Errorf("the first mail came as %+v", first)
	}
	if last.Subject != "Machine Condition Alert: over" || !strings.HasPrefix(last.Text, "Machine Condition Normal: press 3 was at risk from ") {
		p.t.Errorf("the last mail is %+v", last)
	}
	ids := map[string]bool{}
	for _, m := range mails {
		if ids[m.ID] {
			p.t.Errorf("mail %s came twice", m.ID)
		}
		ids[m.ID] = true
	}
}

func (p *telling) checkCommands() {
	list, err := p.server.Command(p.t.Context(), "notify", "list")
	if err != nil || !strings.Contains(list, "anna@plant.example") || !strings.Contains(list, "http://127.0.0.1:") {
		p.t.Errorf("fettle notify list: %v\n%s", err, list)
	}
	tested, err := p.server.Command(p.t.Context(), "notify", "test", "chat")
	if err != nil || !strings.Contains(tested, "taken") {
		p.t.Errorf("fettle notify test chat: %v\n%s", err, tested)
	}
	if e := p.hook.envelopes(); !e[len(e)-1].Test {
		p.t.Errorf("the last message is no test: %+v", e[len(e)-1])
	}
	p.hook.answer(http.StatusTeapot)
	_, err = p.server.Command(p.t.Context(), "notify", "test")
	if err == nil || !strings.Contains(err.Error(), "418") || !strings.Contains(err.Error(), "2 of 3 test messages were not taken") {
		p.t.Errorf("fettle notify test, refused: %v", err)
	}
	p.logs.WriteString(p.server.Log())
	shown := fmt.Sprint(list, tested, err, p.logs.String())
	for _, secret := range []string{mailPassword, hookToken, hookSecret} {
		if strings.Contains(shown, secret) {
			p.t.Errorf("%q is shown:\n%s", secret, shown)
		}
	}
}

// verifiedByTheDocs lets the Python of docs/notices.md judge a request.
func (p *telling) verifiedByTheDocs(r hookRequest) bool {
	page, err := os.ReadFile("../../docs/notices.md")
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```python\n")
	code, _, _ := strings.Cut(rest, "```")
	code += "\nimport json, sys\nheaders, secret = json.loads(sys.argv[1]), sys.argv[2].encode()\nbody = sys.stdin.buffer.read()\n" +
		"print(genuine(secret, headers, body), genuine(b'another', headers, body), genuine(secret, headers, body + b' '))\n"
	headers, err := json.Marshal(map[string]string{"Fettle-Timestamp": r.header.Get("Fettle-Timestamp"), "Fettle-Signature": r.header.Get("Fettle-Signature")})
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command("/usr/bin/python3", "-c", strings.ReplaceAll(code, "< 300", "< 3600"), string(headers), hookSecret)
	cmd.Stdin = bytes.NewReader(r.body)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out)) == "True False False"
}

// A receivingHook takes messages, or answers as it is told.
type receivingHook struct {
	*httptest.Server
	mu     sync.Mutex // guards what follows
	status int
	taken  []hookRequest
	others int // messages to the receiver of other machines
}

type hookRequest struct {
	header http.Header
	body   []byte
}

func newHook(t *testing.T) *receivingHook {
	h := &receivingHook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		w.WriteHeader(h.status)
		switch {
		case h.status != http.StatusOK:
		case strings.HasSuffix(r.URL.Path, "/others"):
			h.others++
		default:
			h.taken = append(h.taken, hookRequest{r.Header, body})
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *receivingHook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *receivingHook) first() hookRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.taken[0]
}

func (h *receivingHook) envelopes() []notify.Envelope {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []notify.Envelope
	for _, r := range h.taken {
		var e notify.Envelope
		if err := json.Unmarshal(r.body, &e); err != nil {
			panic(err)
		}
		list = append(list, e)
	}
	return list
}
