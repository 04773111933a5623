package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Notify is the section about telling people.
type Notify struct {
	Receivers []Receiver `yaml:"receivers" doc:"Who is told. email is a list of addresses, webhook a URL: one of the two. priorities (high, medium, low), machines (names, * standing for any part) and on (raised, escalated, cleared) pick what; left out, everything. secret signs what goes to the webhook."`
	Link      string     `yaml:"link" doc:"Address of the page for links, such as https://fettle.example.com. Empty: that of http.listen."`
	Group     Duration   `yaml:"group" doc:"From one message to an address to the next: alarms of that time go out in one."`
	PerHour   int        `yaml:"max_per_hour" doc:"Messages to one address in an hour. What comes after is one summary at the end of the hour."`
	MaxAge    Duration   `yaml:"max_age" doc:"How old a machine's newest readings may be for its alarms to be told; so a back-fill of old readings tells nobody."`
	GiveUp    Duration   `yaml:"give_up" doc:"How long a message that nobody takes is tried again, before it is listed as given up."`
	CA        string     `yaml:"ca" doc:"File of certificates, in PEM, to trust beside those of the system: of a mail server or webhook in the plant."`
}

// A Receiver is somebody to tell.
type Receiver struct {
	Name       string   `yaml:"name" doc:"Its name."`
	Email      []string `yaml:"email" doc:"E-mail addresses."`
	Webhook    Secret   `yaml:"webhook" doc:"URL of a webhook; a secret, since many carry a token."`
	Secret     Secret   `yaml:"secret" doc:"Signs what goes to the webhook."`
	Priorities []string `yaml:"priorities" doc:"Priorities of alarms."`
	Machines   []string `yaml:"machines" doc:"Names of machines, or patterns."`
	On         []string `yaml:"on" doc:"Changes of alarms."`
}

// SMTP is the section about the mail server.
type SMTP struct {
	Server   string `yaml:"server" doc:"Its address, such as mail.example.com:587. Empty: no e-mails."`
	Security string `yaml:"security" enum:"starttls,tls,none" doc:"How the connection is protected: starttls (port 587), tls from its first byte (port 465), or none."`
	User     string `yaml:"user" doc:"User to log in as. Empty: no login."`
	Password Secret `yaml:"password" doc:"Password of that user."`
	From     string `yaml:"from" doc:"Address that e-mails come from."`
}

// defaultNotify tells nobody, but says how those are told who are added.
func defaultNotify() Notify {
	return Notify{Receivers: []Receiver{}, Group: Duration(time.Minute), PerHour: 20, MaxAge: Duration(time.Hour), GiveUp: Duration(24 * time.Hour)}
}

// Limits of the receivers.
const (
	maxReceivers  = 100
	maxAddresses  = 50  // of a receiver
	maxAddress    = 254 // bytes of an e-mail address (RFC 5321)
	maxRuleName   = 64
	leastSigned   = 16 // bytes of a secret that signs
	maxPatterns   = 1000
	maxWebhookURL = 4096
)

var (
	priorities = []string{"high", "medium", "low"}
	changes    = []string{"raised", "escalated", "cleared"}
)

// notify checks whom to tell, and by what.
func (v *validator) notify(n Notify, s SMTP) {
	v.check(len(n.Receivers) <= maxReceivers, "notify.receivers", fmt.Sprint(len(n.Receivers), " entries"), fmt.Sprintf("at most %d", maxReceivers))
	names := map[string]bool{}
	for i, r := range n.Receivers {
		at := fmt.Sprintf("notify.receivers[%d]", i)
		v.check(r.Name != "" && len(r.Name) <= maxRuleName && !names[r.Name], at+".name", quoted(r.Name), fmt.Sprintf("a name of its own, of at most %d bytes", maxRuleName))
		names[r.Name] = true
		v.receiver(at, r)
		v.check(len(r.Email) == 0 || s.Server != "", "smtp.server", "", "the address of a mail server, such as mail.example.com:587, since "+at+" has e-mail addresses")
	}
	v.check(n.Link == "" || isURL(n.Link), "notify.link", quoted(n.Link), "an address such as https://fettle.example.com")
	v.duration(n.Group, "notify.group", 0, time.Hour)
	v.count(n.PerHour, "notify.max_per_hour", 1, 1000)
	v.duration(n.MaxAge, "notify.max_age", time.Minute, 30*24*time.Hour)
	v.duration(n.GiveUp, "notify.give_up", time.Minute, 30*24*time.Hour)
	v.smtp(s)
}

func (v *validator) receiver(at string, r Receiver) {
	v.check((len(r.Email) > 0) != (r.Webhook != ""), at, "", "email or webhook, one of the two")
	v.check(len(r.Email) <= maxAddresses, at+".email", fmt.Sprint(len(r.Email), " addresses"), fmt.Sprintf("at most %d", maxAddresses))
	for i, address := range r.Email {
		v.check(isMail(address) && !slices.Contains(r.Email[:i], address), fmt.Sprintf("%s.email[%d]", at, i), quoted(address), "an e-mail address, each once")
	}
	hook := r.Webhook.Reveal()
	v.check(hook == "" || isURL(hook) && len(hook) <= maxWebhookURL, at+".webhook", r.Webhook.String(), "a URL such as https://example.com/hook")
	v.check(r.Secret == "" || len(r.Secret) >= leastSigned, at+".secret", r.Secret.String(), fmt.Sprintf("at least %d bytes", leastSigned))
	v.check(r.Secret == "" || hook != "", at+".secret", r.Secret.String(), "a webhook that it signs for")
	v.among(at+".priorities", r.Priorities, priorities)
	v.among(at+".on", r.On, changes)
	v.check(len(r.Machines) <= maxPatterns, at+".machines", fmt.Sprint(len(r.Machines), " patterns"), fmt.Sprintf("at most %d", maxPatterns))
	for i, pattern := range r.Machines {
		_, err := path.Match(pattern, "")
		v.check(pattern != "" && err == nil, fmt.Sprintf("%s.machines[%d]", at, i), quoted(pattern), "the name of a machine or a pattern, such as press-*")
	}
}

func (v *validator) among(at string, list, allowed []string) {
	for i, word := range list {
		v.check(slices.Contains(allowed, word), fmt.Sprintf("%s[%d]", at, i), quoted(word), strings.Join(allowed, " or "))
	}
}

func (v *validator) smtp(s SMTP) {
	v.check((s.User == "") == (s.Password == ""), "smtp.password", s.Password.String(), "a user and a password, or neither")
	v.check(s.Password == "" || s.Security != "none", "smtp.security", quoted(s.Security), "starttls or tls: a password is not sent for everybody to read")
	if s.Server == "" {
		return
	}
	host, port, err := net.SplitHostPort(s.Server)
	number, numberErr := strconv.ParseUint(port, 10, 16)
	v.check(err == nil && host != "" && numberErr == nil && number > 0, "smtp.server", quoted(s.Server), "host:port, such as mail.example.com:587")
	v.check(isMail(s.From), "smtp.from", quoted(s.From), "an e-mail address, such as fettle@example.com")
}

// isMail takes a bare address only: no display name, nothing that could start
// another header.
func isMail(address string) bool {
	parsed, err := mail.ParseAddress(address)
	return err == nil && parsed.Address == address && len(address) <= maxAddress
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}
