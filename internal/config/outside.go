package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// An OutsideBroker is an MQTT broker next door, from which readings are taken.
type OutsideBroker struct {
	Name     string   `yaml:"name" doc:"What it is called in the status and in metrics, and part of the session that the broker keeps for fettle. Empty: host and port of the URL."`
	URL      string   `yaml:"url" doc:"mqtt://host:1883, mqtts:// for TLS, ws:// or wss:// for websockets with a path. MQTT 5 is spoken, or 3.1.1 where the broker knows no better."`
	Topics   []string `yaml:"topics" doc:"As ingest.topics, which count where there are none here. $share/group/ before a topic shares its messages among all that subscribe with that group."`
	User     string   `yaml:"user" doc:"User name. Empty: none."`
	Password Secret   `yaml:"password" doc:"Password."`
	TLSCA    string   `yaml:"tls_ca" doc:"File of the certificates, in PEM, that sign the broker's. Empty: those of the system."`
	TLSCert  string   `yaml:"tls_cert" doc:"File of fettle's own certificate, in PEM, for a broker that wants one."`
	TLSKey   string   `yaml:"tls_key" doc:"File of its key, in PEM."`
	ClientID string   `yaml:"client_id" doc:"Names fettle's session at the broker: always the same, and nobody else's. Empty: made up once for this data folder. A broker of MQTT 5 is asked to keep the session for 7 days."`
	Window   int      `yaml:"window" doc:"Messages that the broker may send before the first of them is on disk and acknowledged. A broker of 3.1.1 has a bound of its own. 0: 2,000."`
}

// Title is the broker's name, as given or made from its URL.
func (b OutsideBroker) Title() string {
	if b.Name != "" {
		return b.Name
	}
	host, port, _ := b.address()
	return net.JoinHostPort(host, port)
}

// outsidePorts are those that the URL of a broker may leave out.
var outsidePorts = map[string]string{"mqtt": "1883", "tcp": "1883", "mqtts": "8883", "ssl": "8883", "tls": "8883", "ws": "80", "wss": "443"}

// address is where the broker is; ok tells whether the URL is one.
func (b OutsideBroker) address() (host, port string, ok bool) {
	u, err := url.Parse(b.URL)
	if err != nil || outsidePorts[u.Scheme] == "" || u.Hostname() == "" || u.User != nil {
		return "", "", false
	}
	if port = u.Port(); port == "" {
		port = outsidePorts[u.Scheme]
	}
	return strings.ToLower(u.Hostname()), port, true
}

const (
	maxOutside       = 100
	maxOutsideTopics = 1_000
	maxOutsideWindow = 65_535 // as MQTT can say it
	maxOutsideName   = 100    // bytes
)

func (v *validator) outside(c *Config) {
	v.check(len(c.Ingest.MQTT) <= maxOutside, "ingest.mqtt", fmt.Sprintf("%d brokers", len(c.Ingest.MQTT)), fmt.Sprintf("at most %d", maxOutside))
	names := map[string]bool{}
	for i, b := range c.Ingest.MQTT {
		path := fmt.Sprintf("ingest.mqtt[%d]", i)
		host, port, ok := b.address()
		if !ok { // whose text may hold a password
			v.check(false, path+".url", "", "mqtt://, mqtts://, ws:// or wss:// and a host, such as mqtt://192.168.1.20:1883; user and password have settings of their own")
			continue
		}
		v.check(!c.isOwnBroker(host, port), path+".url", quoted(b.URL), "another broker than fettle's own, where what is published arrives already")
		v.check(!names[b.Title()] && len(b.Title()) <= maxOutsideName, path+".name", quoted(b.Title()), fmt.Sprintf("a name that no other broker has, of at most %d bytes", maxOutsideName))
		names[b.Title()] = true
		v.check(len(b.Topics) <= maxOutsideTopics, path+".topics", fmt.Sprintf("%d topics", len(b.Topics)), fmt.Sprintf("at most %d", maxOutsideTopics))
		for n, topic := range b.Topics {
			v.check(topic != "" && len(topic) <= 65_535, fmt.Sprintf("%s.topics[%d]", path, n), quoted(topic), "an MQTT topic, such as plant/{machine}/{sensor}")
		}
		v.check(b.Password == "" || b.User != "", path+".user", `""`, "a user for the password")
		v.check(len(b.User) <= maxPassword && len(b.Password) <= maxPassword, path+".user", "", fmt.Sprintf("user and password of at most %d bytes", maxPassword))
		v.check((b.TLSCert == "") == (b.TLSKey == ""), path+".tls_cert", quoted(b.TLSCert), "tls_cert and tls_key both, or neither")
		v.check(len(b.ClientID) <= maxPassword, path+".client_id", "", fmt.Sprintf("at most %d bytes", maxPassword))
		v.count(b.Window, path+".window", 0, maxOutsideWindow)
	}
}

// isOwnBroker tells whether an address on this computer is one of the embedded
// broker. Other names of this computer are found out when it connects.
func (c *Config) isOwnBroker(host, port string) bool {
	ip := net.ParseIP(host)
	if host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return false
	}
	for _, own := range []string{c.MQTT.Listen, c.MQTT.WebSocket, c.MQTT.TLSListen, c.MQTT.TLSWebSocket} {
		if _, ownPort, err := net.SplitHostPort(own); err == nil && ownPort == port && port != "0" {
			return true
		}
	}
	return false
}
