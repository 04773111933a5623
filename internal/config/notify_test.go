package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestReceiversThatAreSet(t *testing.T) {
	cases := []struct {
		name    string
		text    string
		environ []string
		set     func(*Config)
	}{
		{"a receiver", "notify: {receivers: [{name: a, email: [x@y.z], priorities: [high], machines: [press-*], on: [raised]}]}\nsmtp: {server: 'h:25', from: a@b.c}", nil, func(c *Config) {
			c.Notify.Receivers = []Receiver{{Name: "a", Email: []string{"x@y.z"}, Priorities: []string{"high"}, Machines: []string{"press-*"}, On: []string{"raised"}}}
			c.SMTP.Server, c.SMTP.From = "h:25", "a@b.c"
		}},
		{"a password of a server in a variable", "smtp: {user: u}", []string{"FETTLE_SMTP_PASSWORD=p"}, func(c *Config) { c.SMTP.User, c.SMTP.Password = "u", "p" }},
		{"a webhook in a variable", "", []string{"FETTLE_NOTIFY_RECEIVERS=[{name: a, webhook: 'https://h/x', secret: 0123456789abcdef}]"}, func(c *Config) {
			c.Notify.Receivers = []Receiver{{Name: "a", Webhook: "https://h/x", Secret: "0123456789abcdef"}}
		}},
	}
	for _, c := range cases {
		want := Defaults()
		c.set(&want)
		got, err := loadText(c.text, c.environ...)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{})); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, diff)
		}
	}
}

func TestFaultsOfReceivers(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"notify: {receivers: [{name: a}]}", "notify.receivers[0]; expected email or webhook, one of the two"},
		{"notify: {receivers: [{name: a, email: [x@y.z], webhook: 'http://h/'}]}", "notify.receivers[0]; expected email or webhook, one of the two"},
		{"notify: {receivers: [{email: [x@y.z]}]}", `notify.receivers[0].name is ""; expected a name of its own, of at most 64 bytes`},
		{"notify: {receivers: [{name: a, webhook: 'http://h/'}, {name: a, webhook: 'http://h/'}]}", `notify.receivers[1].name is "a"; expected a name of its own`},
		{"notify: {receivers: [{name: a, email: [x@y.z]}]}", "smtp.server; expected the address of a mail server, such as mail.example.com:587, since notify.receivers[0] has e-mail addresses"},
		{"notify: {receivers: [{name: a, email: ['Anna <x@y.z>']}]}", `notify.receivers[0].email[0] is "Anna <x@y.z>"; expected an e-mail address, each once`},
		{"notify: {receivers: [{name: a, email: [\"x@y.z\\nBcc: all@y.z\"]}]}", `notify.receivers[0].email[0] is "x@y.z\nBcc: all@y.z"; expected an e-mail address`},
		{"notify: {receivers: [{name: a, webhook: 'file:///etc/passwd'}]}", "notify.receivers[0].webhook is (secret); expected a URL such as https://example.com/hook"},
		{"notify: {receivers: [{name: a, webhook: 'http://h/', secret: short}]}", "notify.receivers[0].secret is (secret); expected at least 16 bytes"},
		{"notify: {receivers: [{name: a, webhook: 'http://h/', priorities: [urgent]}]}", `notify.receivers[0].priorities[0] is "urgent"; expected high or medium or low`},
		{"notify: {receivers: [{name: a, webhook: 'http://h/', on: [acknowledged]}]}", `notify.receivers[0].on[0] is "acknowledged"; expected raised or escalated or cleared`},
		{"notify: {receivers: [{name: a, webhook: 'http://h/', machines: ['[a']}]}", `notify.receivers[0].machines[0] is "[a"; expected the name of a machine or a pattern, such as press-*`},
		{"notify: {max_per_hour: 0}", "notify.max_per_hour is 0; expected 1 to 1000"},
		{"notify: {group: 2h}", "notify.group is 2h; expected 0s to 1h"},
		{"smtp: {server: mail.example.com, from: a@b.c}", `smtp.server is "mail.example.com"; expected host:port, such as mail.example.com:587`},
		{"smtp: {server: 'mail.example.com:587'}", `smtp.from is ""; expected an e-mail address, such as fettle@example.com`},
		{"smtp: {server: 'h:25', from: a@b.c, user: u}", "smtp.password; expected a user and a password, or neither"},
		{"smtp: {server: 'h:25', from: a@b.c, user: u, password: p, security: none}", `smtp.security is "none"; expected starttls or tls: a password is not sent for everybody to read`},
	} {
		if _, err := loadText(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestSecretsOfReceiversStaySecret(t *testing.T) {
	for _, text := range []string{
		"notify:\n  receivers:\n    - {name: a, webhook: 'https://h/hunter2', x: 1}\n",
		"notify:\n  receivers:\n    - name: a\n      secret: [hunter2]\n",
		"notify:\n  receivers:\n    - name: a\n      webhook: 'file:///hunter2'\n",
		"notify:\n  receivers:\n    - name: a\n      webhook: 'http://h/'\n      secret: hunter2\n",
	} {
		if _, err := loadText(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
