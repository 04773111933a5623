package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/config"
	"fettle/internal/notify"
	"fettle/internal/verdict"
)

// openNotices lets what people are to be told be queued with the alarms.
func (a *App) openNotices() error {
	cfg, err := a.noticeConfig()
	if err != nil {
		return err
	}
	if a.notices, err = notify.Open(a.db, cfg, time.Now, a.logOf("notices")); err != nil {
		return err
	}
	a.flow.alarms.Outbox = a.notices
	return nil
}

// noticeConfig says whom to tell about alarms, in the words of the room that
// does it.
func (a *App) noticeConfig() (notify.Config, error) {
	n := a.cfg.Notify
	trust, err := trusting(n.CA)
	if err != nil {
		return notify.Config{}, err
	}
	c := notify.Config{
		Mail: mailConfig(a.cfg.SMTP), TLS: trust,
		Group: time.Duration(n.Group), PerHour: n.PerHour, MaxAge: time.Duration(n.MaxAge), GiveUp: time.Duration(n.GiveUp),
		Alert: verdict.AlertText, Page: a.pageAddress, Silenced: a.silenced,
	}
	for _, r := range n.Receivers {
		c.Receivers = append(c.Receivers, notify.Receiver{
			Name: r.Name, Email: r.Email, Webhook: r.Webhook.Reveal(), Secret: r.Secret.Reveal(), Machines: r.Machines,
			Priorities: orAll(r.Priorities, fettle.High, fettle.Medium, fettle.Low),
			On:         orAll(r.On, notify.Raised, notify.Escalated, notify.Cleared),
		})
	}
	return c, nil
}

func mailConfig(s config.SMTP) notify.Mail {
	host, port, _ := net.SplitHostPort(s.Server) // checked with the configuration
	number, _ := strconv.Atoi(port)
	return notify.Mail{Host: host, Port: number, Security: s.Security, User: s.User, Password: s.Password.Reveal(), From: s.From}
}

// orAll is what was chosen; all, if nothing was.
func orAll[T ~string](chosen []string, all ...T) []T {
	if len(chosen) == 0 {
		return all
	}
	list := make([]T, len(chosen))
	for i, c := range chosen {
		list[i] = T(c)
	}
	return list
}

// trusting trusts the certificates of a file beside those of the system; nil if
// there is no file.
func trusting(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read notify.ca: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fettle.Errorf(fettle.Invalid, "read notify.ca: %s holds no certificate in PEM", file)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// pageAddress is where links lead.
func (a *App) pageAddress() string {
	if a.cfg.Notify.Link != "" {
		return strings.TrimRight(a.cfg.Notify.Link, "/")
	}
	return "http://" + a.web.address()
}

func (a *App) noticeSamples() []api.Sample {
	var samples []api.Sample
	for _, s := range a.notices.Status() {
		labels := fmt.Sprintf("{receiver=%q,to=%q}", s.Receiver, s.To)
		samples = append(samples,
			api.Sample{Name: "fettle_notices_waiting" + labels, Value: float64(s.Waiting)},
			api.Sample{Name: "fettle_notice_messages_total" + labels, Value: float64(s.Sent)},
			api.Sample{Name: "fettle_notices_given_up_total" + labels, Value: float64(s.Dead)})
	}
	return samples
}

func (a *App) noticePart() api.Part {
	list := a.notices.Status()
	part := api.Part{Name: "notices", State: api.PartOff, Detail: "no receivers"}
	if len(list) == 0 {
		return part
	}
	var waiting, failing int
	var sent, dead int64
	for _, s := range list {
		waiting, sent, dead = waiting+s.Waiting, sent+s.Sent, dead+s.Dead
		if s.Attempts > 0 {
			failing++
		}
	}
	part.State, part.Detail = api.PartOK, fmt.Sprintf("%d receivers, %d messages sent, %d notices waiting, %d given up", len(list), sent, waiting, dead)
	if failing > 0 {
		part.State = api.PartWarning
		part.Detail += fmt.Sprintf("; %d receivers cannot be reached (fettle notify list)", failing)
	}
	return part
}
