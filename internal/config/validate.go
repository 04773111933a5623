package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle"
)

// problems lists what is wrong with the values of c, whatever wrote them.
func (c *Config) problems() []*fettle.Error {
	v := &validator{}
	for _, s := range settingsOf(c) {
		if s.enum != nil {
			v.check(slices.Contains(s.enum, s.value.String()), s.path, quoted(s.value.String()), strings.Join(s.enum, " or "))
		}
	}
	v.check(c.Data.Dir != "", "data.dir", `""`, "the path of a folder")
	v.listeners(c)
	v.hosts(c.HTTP.Hosts)
	v.visitors(c.HTTP)
	v.tunnel(c)
	v.broker(c.MQTT)
	v.ingest(c.Ingest)
	v.outside(c)
	v.influx(c.Influx)
	v.retention(c.Retention)
	v.forecast(c.Forecast)
	v.alarm(c.Alarm)
	v.training(c.Training)
	v.notify(c.Notify, c.SMTP)
	v.check(c.Limits.Memory == 0 || within(c.Limits.Memory, 32<<20, 1<<40), "limits.memory", c.Limits.Memory.String(), "0 (no limit), or 32MiB to 1024GiB")
	v.check(within(c.Log.MaxSize, 64<<10, 1<<40), "log.max_size", c.Log.MaxSize.String(), "64KiB to 1024GiB")
	v.count(c.Log.Keep, "log.keep", 0, 100)
	v.units(c.Units)
	return v.problems
}

type validator struct{ problems []*fettle.Error }

// check books a problem unless ok.
func (v *validator) check(ok bool, path, value, expected string) {
	if !ok {
		v.problems = append(v.problems, fettle.BadField("wrong value", path, value, expected))
	}
}

func (v *validator) duration(d Duration, path string, least, most time.Duration) {
	v.check(within(time.Duration(d), least, most), path, d.String(), fmt.Sprintf("%v to %v", Duration(least), Duration(most)))
}

func (v *validator) count(n int, path string, least, most int) {
	v.check(within(n, least, most), path, strconv.Itoa(n), fmt.Sprintf("%d to %d", least, most))
}

func within[T int | int64 | Bytes | time.Duration](x, least, most T) bool {
	return least <= x && x <= most
}

// listeners checks the addresses, and that no two of them are the same.
func (v *validator) listeners(c *Config) {
	taken := map[string]string{}
	for _, l := range []struct {
		path, address string
		mayBeOff      bool
	}{
		{"http.listen", c.HTTP.Listen, false},
		{"http.keyed_listen", c.HTTP.KeyedListen, true},
		{"mqtt.listen", c.MQTT.Listen, false},
		{"mqtt.websocket", c.MQTT.WebSocket, true},
		{"mqtt.tls_listen", c.MQTT.TLSListen, true},
		{"mqtt.tls_websocket", c.MQTT.TLSWebSocket, true},
	} {
		if l.address == "" && l.mayBeOff {
			continue
		}
		host, port, err := net.SplitHostPort(l.address)
		number, numberErr := strconv.ParseUint(port, 10, 16)
		if err != nil || numberErr != nil {
			v.check(false, l.path, quoted(l.address), "host:port, such as 127.0.0.1:8000")
			continue
		}
		if number == 0 {
			continue // a free port of its own
		}
		address := net.JoinHostPort(host, strconv.FormatUint(number, 10))
		v.check(taken[address] == "", l.path, quoted(l.address), "an address of its own; "+taken[address]+" has this one")
		taken[address] = l.path
	}
}

func (v *validator) hosts(hosts []string) {
	for i, host := range hosts {
		plain := host != "" && !strings.ContainsAny(host, "/@?# *") && !strings.HasPrefix(host, ":")
		v.check(plain, fmt.Sprintf("http.hosts[%d]", i), quoted(host), "a host name, such as fettle.example.com or 192.168.1.20:8000")
	}
}

// visitors checks who may come from where, and how often.
func (v *validator) visitors(h HTTP) {
	for i, origin := range h.Origins {
		u, err := url.Parse(origin)
		plain := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && origin == u.Scheme+"://"+u.Host
		v.check(plain, fmt.Sprintf("http.origins[%d]", i), quoted(origin), "an origin, such as https://dashboard.example.com, without a path")
	}
	for i, proxy := range h.Proxies {
		_, addressErr := netip.ParseAddr(proxy)
		_, networkErr := netip.ParsePrefix(proxy)
		v.check(addressErr == nil || networkErr == nil, fmt.Sprintf("http.proxies[%d]", i), quoted(proxy), "an address or a network, such as 192.168.1.5 or 10.0.0.0/24")
	}
	v.count(h.KeyRate, "http.requests_per_key", 0, 10_000_000)
	v.count(h.AddressRate, "http.requests_per_address", 0, 10_000_000)
}

func (v *validator) tunnel(c *Config) {
	t := c.Tunnel
	v.check(t.Mode == "off" || c.HTTP.KeyedListen != "", "http.keyed_listen", `""`, "an address, such as 127.0.0.1:8001: tunnel.mode is "+t.Mode+", and a tunnel leads only there")
	v.check(t.Binary != "", "tunnel.binary", `""`, "cloudflared, or its path")
	v.check(!strings.HasPrefix(t.Name, "-"), "tunnel.name", quoted(t.Name), "a name that does not begin with -")
	v.check(t.Mode != "named" || t.Name != "" || t.File != "" || t.Token != "", "tunnel.name", `""`, "the name of the tunnel, or tunnel.config, or tunnel.token")
	v.check(t.Token == "" || t.File == "", "tunnel.token", "", "a token or tunnel.config, not both")
	v.check(t.Hostname == "" || !strings.ContainsAny(t.Hostname, "/@?# *"), "tunnel.hostname", quoted(t.Hostname), "a host name, such as iot-api.example.com")
}

// maxPassword is what an MQTT packet can carry, in bytes.
const maxPassword = 65_535

func (v *validator) broker(m MQTT) {
	v.count(m.MaxClients, "mqtt.max_clients", 1, 1_000_000)
	v.count(m.MaxSessions, "mqtt.max_sessions", 0, 10_000_000)
	v.count(m.MaxSubscriptions, "mqtt.max_subscriptions", 1, 1_000_000)
	v.duration(m.MaxKeepalive, "mqtt.max_keepalive", 0, 18*time.Hour)
	v.count(m.MaxMessages, "mqtt.max_messages_per_second", 0, 1_000_000)
	v.check(within(m.MaxBytes, 0, 1<<40), "mqtt.max_bytes_per_second", m.MaxBytes.String(), "0 (no limit) to 1024GiB")
	v.check(within(m.MaxPacket, 1<<10, 256<<20-1), "mqtt.max_packet", m.MaxPacket.String(), "1KiB up to just below 256MiB")
	v.check(within(m.MaxQueued, 1<<10, 1<<40), "mqtt.max_queued", m.MaxQueued.String(), "1KiB to 1024GiB")
	least := max(m.MaxQueued, m.MaxPacket)
	v.check(within(m.MaxQueuedTotal, least, 1<<40), "mqtt.max_queued_total", m.MaxQueuedTotal.String(), least.String()+" (the larger of mqtt.max_queued and mqtt.max_packet) to 1024GiB")
	encrypted := m.TLSListen != "" || m.TLSWebSocket != ""
	v.check(!encrypted || m.TLSCert != "", "mqtt.tls_cert", "", "the file of a certificate, for mqtt.tls_listen and mqtt.tls_websocket")
	v.check(!encrypted || m.TLSKey != "", "mqtt.tls_key", "", "the file of the certificate's key")
	names := map[string]bool{}
	for i, user := range m.Users {
		path := fmt.Sprintf("mqtt.users[%d]", i)
		v.check(user.Name != "" && len(user.Name) <= maxPassword, path+".name", quoted(user.Name), "a name")
		v.check(!names[user.Name], path+".name", quoted(user.Name), "a name that no other user has")
		v.check(user.Password != "" && len(user.Password) <= maxPassword, path+".password", "", "a password, or password_file with the path of one")
		names[user.Name] = true
	}
}

func (v *validator) ingest(in Ingest) {
	v.check(len(in.Topics) > 0, "ingest.topics", "empty", "at least one topic")
	for i, topic := range in.Topics {
		v.check(topic != "" && len(topic) <= 65_535, fmt.Sprintf("ingest.topics[%d]", i), quoted(topic), "an MQTT topic, such as plant/{machine}/{sensor}")
	}
	v.check(len(in.LineMachineTags) > 0, "ingest.line_machine_tags", "empty", "at least one tag")
	v.duration(in.MaxFuture, "ingest.max_future", 0, 24*time.Hour)
	v.check(within(in.Queue, 1<<20, 1<<40), "ingest.queue", in.Queue.String(), "1MiB to 1024GiB")
	v.count(in.MaxMachines, "ingest.max_machines", 1, 1_000_000)
}

// retention checks ages: none, or at least the day that a file holds.
func (v *validator) retention(r Retention) {
	age := func(d Duration, path string) {
		const least, most = 24 * time.Hour, 100 * 366 * 24 * time.Hour
		v.check(d == 0 || within(time.Duration(d), least, most), path, d.String(), "0 (never), or 24h to 878400h (100 years)")
	}
	age(r.Raw, "retention.raw")
	age(r.Minute, "retention.minute")
	age(r.Hour, "retention.hour")
	v.check(r.Budget == 0 || within(r.Budget, 1<<20, 1<<50), "retention.budget", r.Budget.String(), "0 (no bound), or 1MiB to 1048576GiB")
	v.duration(r.Every, "retention.every", 100*time.Millisecond, 24*time.Hour)
	names := map[string]bool{}
	for i, m := range r.Machines {
		path := fmt.Sprintf("retention.machines[%d]", i)
		v.check(m.Machine != "" && len(m.Machine) <= fettle.MaxName && !names[m.Machine], path+".machine", quoted(m.Machine), "the name of a machine, each once")
		names[m.Machine] = true
		age(m.Raw, path+".raw")
		age(m.Minute, path+".minute")
		age(m.Hour, path+".hour")
	}
}

// Bounds of a forecaster, in number and in steps.
const (
	maxForecasters = 7 // beside the short one
	maxSteps       = 4096
)

func (v *validator) forecast(f Forecast) {
	const day = 24 * time.Hour
	v.duration(f.Interval, "forecast.interval", time.Second, day)
	v.duration(f.Lookback, "forecast.lookback", time.Second, 30*day)
	machines := map[string]bool{}
	for i, m := range f.Machines {
		path := fmt.Sprintf("forecast.machines[%d]", i)
		v.check(m.Machine != "" && len(m.Machine) <= fettle.MaxName && !machines[m.Machine], path+".machine", quoted(m.Machine), "the name of a machine, each once")
		machines[m.Machine] = true
		v.duration(m.Step, path+".step", time.Millisecond, 31*day)
	}
	v.check(len(f.Forecasters) <= maxForecasters, "forecast.forecasters", fmt.Sprintf("a list of %d", len(f.Forecasters)), fmt.Sprintf("at most %d", maxForecasters))
	names := map[string]bool{}
	for i, one := range f.Forecasters {
		path := fmt.Sprintf("forecast.forecasters[%d]", i)
		v.check(one.Name != fettle.ShortForecaster, path+".name", one.Name, "another name; the short one is always there, see forecast.interval and forecast.lookback")
		v.check(one.Name != "" && len(one.Name) <= fettle.MaxName && !names[one.Name], path+".name", quoted(one.Name), fmt.Sprintf("a name of at most %d bytes, each once", fettle.MaxName))
		names[one.Name] = true
		step := time.Duration(one.Step)
		v.check(within(step, time.Second, day) && step > 0 && day%step == 0, path+".step", one.Step.String(), "1s to 24h, so that a day has a whole number of them")
		v.count(one.Context, path+".context", 2, maxSteps)
		v.count(one.Steps, path+".steps", 1, maxSteps)
		v.duration(one.Interval, path+".interval", time.Second, 31*day)
	}
}

// alarm: scores up to 1 are usual, and have no cause to be told.
func (v *validator) alarm(a Alarm) {
	score := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	v.check(a.RaiseAbove >= 1 && a.RaiseAbove <= 1000, "alarm.raise_above", score(a.RaiseAbove), "1 to 1000")
	v.check(a.HighAbove >= a.RaiseAbove && a.HighAbove <= 1000, "alarm.high_above", score(a.HighAbove), score(a.RaiseAbove)+" (alarm.raise_above) to 1000")
	v.check(a.ClearBelow > 0 && a.ClearBelow <= a.RaiseAbove, "alarm.clear_below", score(a.ClearBelow), "above 0, up to "+score(a.RaiseAbove)+" (alarm.raise_above)")
}

// training leaves the schedule and the preset to those who read them.
func (v *validator) training(t Training) {
	const day = 24 * time.Hour
	v.duration(t.Stagger, "training.stagger", 0, 31*day)
	v.duration(t.History, "training.history", time.Minute, 3660*day)
	v.duration(t.Budget, "training.budget", 0, 31*day)
	v.duration(t.Shadow, "training.shadow", 0, 366*day)
	v.count(t.Parallel, "training.parallel", 1, 64)
	v.count(t.Threads, "training.threads", 0, 1024)
	v.count(t.Windows, "training.windows", 0, 1<<30)
	v.count(t.Attempts, "training.attempts", 1, 100)
	v.check(within(t.Memory, 64<<20, 1<<40), "training.memory", t.Memory.String(), "64MiB to 1024GiB")
	v.check(t.Margin >= 0 && t.Margin < 1, "training.margin", strconv.FormatFloat(t.Margin, 'g', -1, 64), "0 to below 1")
	v.spark(t.Engine, t.Spark)
}

// spark leaves what the address says to those who call there.
func (v *validator) spark(engine string, s Spark) {
	v.check(s.URL == "" || strings.HasPrefix(s.URL, "sc://"), "training.spark.url", s.URL, "the cluster's Connect server, such as sc://host:15002; fettle spark serve-command prints how to start one beside a spark://… master")
	v.check(engine != "spark" || s.URL != "", "training.spark.url", quoted(""), "an address such as sc://host:15002, as training.engine is spark")
	v.count(s.Parallel, "training.spark.parallel", 1, 1024)
	if s.FettleURL != "" {
		u, err := url.Parse(s.FettleURL)
		v.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil, "training.spark.fettle_url", s.FettleURL, "http:// or https://, a host, and maybe a port and a path")
	}
}

// maxUnit bounds the text of a unit, in bytes; it stands beside a number.
const maxUnit = 24

func (v *validator) units(units map[string]string) {
	for _, sensor := range slices.Sorted(maps.Keys(units)) {
		unit := units[sensor]
		v.check(sensor != "" && len(sensor) <= fettle.MaxName, "units", quoted(sensor), fmt.Sprintf("the name of a sensor, at most %d bytes", fettle.MaxName))
		v.check(len(unit) <= maxUnit, "units."+sensor, quoted(unit), fmt.Sprintf("a unit of at most %d bytes", maxUnit))
	}
}
