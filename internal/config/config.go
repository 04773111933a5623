// Package config says how fettle is set up: one struct, one function that
// shows every default, and one loader.
//
// A YAML file and the environment come in; a checked Config comes out, or one
// error that names every fault at once, each with its line and a caret. Keys
// that do not exist are refused, so that a typing error never turns into a
// silent default. What the environment says (FETTLE_SECTION_KEY) wins over the
// file, and the file over the defaults.
//
// The package also knows server.json, the note that a running server leaves in
// its data folder for the commands beside it. It never opens a port. Set alone
// changes a configuration file, one value at a time.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Config is every setting there is. Each has a consumer; docs/config.md is
// generated from these fields.
type Config struct {
	Data      Data              `yaml:"data" doc:"Where fettle keeps what it must not forget."`
	HTTP      HTTP              `yaml:"http" doc:"The API and the page."`
	Auth      Auth              `yaml:"auth" doc:"Who needs a key."`
	Tunnel    Tunnel            `yaml:"tunnel" doc:"The way in from outside: a cloudflared that fettle keeps running, always towards http.keyed_listen. docs/tunnel.md tells more."`
	MQTT      MQTT              `yaml:"mqtt" doc:"The embedded broker that sensors publish to."`
	Ingest    Ingest            `yaml:"ingest" doc:"What is taken in as a reading, and how much at once."`
	Influx    Influx            `yaml:"influx" doc:"An InfluxDB 2 next door: a bucket that is read, buckets that are written."`
	Retention Retention         `yaml:"retention" doc:"How long readings are kept. Files go by whole days (UTC), once their day is that much older than the machine's newest reading."`
	Forecast  Forecast          `yaml:"forecast" doc:"When machines are forecast, and from what."`
	Alarm     Alarm             `yaml:"alarm" doc:"When a machine's score becomes an alarm. 1 is the end of what was usual."`
	Training  Training          `yaml:"training" doc:"When models are trained, by what, and what that may take. Training runs in processes of its own at the lowest priority."`
	Notify    Notify            `yaml:"notify" doc:"Whom alarms are told to, beside the page and MQTT. docs/notices.md tells more."`
	SMTP      SMTP              `yaml:"smtp" doc:"The server that takes e-mails, for receivers with e-mail addresses."`
	Limits    Limits            `yaml:"limits" doc:"What fettle may take of the computer."`
	Log       Log               `yaml:"log" doc:"What fettle says while it runs, on standard error and in a file."`
	Units     map[string]string `yaml:"units" live:"yes" doc:"The unit of a sensor, by the sensor's name, for the page and the API. Entries are added to the default ones; an empty unit removes one."`

	warnings []string
	file     string            // absolute; empty if there was none
	origins  map[string]string // where a setting was set, by its path
}

// Data is the section about the disk.
type Data struct {
	Dir string `yaml:"dir" doc:"Folder of readings, models, alarms and keys; made if it is not there. A relative path starts at the working directory."`
}

// Store is the folder of the embedded store, inside the data folder.
func (d Data) Store() string { return filepath.Join(d.Dir, "db") }

// Tunnel is the folder of what is kept of a tunnel, inside the data folder.
func (d Data) Tunnel() string { return filepath.Join(d.Dir, "tunnel") }

// Models is the folder of model versions, inside the data folder.
func (d Data) Models() string { return filepath.Join(d.Dir, "models") }

// LogFile is the path of the log's file; empty if there is none.
func (c *Config) LogFile() string {
	if c.Log.File == "" || filepath.IsAbs(c.Log.File) {
		return c.Log.File
	}
	return filepath.Join(c.Data.Dir, c.Log.File)
}

// HTTP is the section about the two HTTP listeners.
type HTTP struct {
	Listen      string   `yaml:"listen" doc:"Address of the API and the page. Requests from this computer need no key here; all others do. Port 0 takes a free one."`
	KeyedListen string   `yaml:"keyed_listen" doc:"Address that asks everybody for a key: where a tunnel or a proxy must point. Empty: off."`
	Hosts       []string `yaml:"hosts" doc:"Further host names under which browsers may call; localhost, addresses of this computer and the listeners' own names are always known."`
	Origins     []string `yaml:"origins" doc:"Web pages of other origins that may call with a key (CORS), such as https://dashboard.example.com."`
	Proxies     []string `yaml:"proxies" doc:"Addresses, or networks such as 10.0.0.0/24, of proxies elsewhere whose X-Forwarded-For and X-Forwarded-Proto are believed; those on this computer always are."`
	KeyRate     int      `yaml:"requests_per_key" live:"yes" doc:"Requests a minute that may come with one key; further ones get 429 with Retry-After. 0: no limit."`
	AddressRate int      `yaml:"requests_per_address" live:"yes" doc:"The same for one address. The local user has no limit. 0: no limit."`
}

// Auth is the section about keys.
type Auth struct {
	Local string `yaml:"local" enum:"open,key" doc:"Whether requests from this computer itself to http.listen may read, ingest and operate without a key (open) or not (key)."`
}

// Tunnel is the section about the way in from outside.
type Tunnel struct {
	Mode     string `yaml:"mode" enum:"off,quick,named" doc:"quick: at each start a new public address, without an account; named: an address of your own, made by fettle tunnel setup or at Cloudflare. It needs a key (fettle key create)."`
	Name     string `yaml:"name" doc:"Name of a named tunnel."`
	Binary   string `yaml:"binary" doc:"The program: a path, or a name on the PATH. fettle never downloads it."`
	File     string `yaml:"config" doc:"cloudflared's configuration file of a named tunnel. Empty: the one that fettle tunnel setup made, or one where cloudflared keeps them."`
	Token    Secret `yaml:"token" doc:"Token of a named tunnel that is set up at Cloudflare, in place of a configuration file. Its rules there must lead to http.keyed_listen."`
	Hostname string `yaml:"hostname" doc:"Public name of a named tunnel with a token."`
}

// MQTT is the section about the embedded broker.
type MQTT struct {
	Listen           string   `yaml:"listen" doc:"Address of the broker. Elsewhere than on loopback it needs users (fettle user add, or below). Port 0 takes a free one."`
	WebSocket        string   `yaml:"websocket" doc:"Address of MQTT over websockets. Empty: off."`
	TLSListen        string   `yaml:"tls_listen" doc:"Address of the broker for MQTT over TLS. Empty: off."`
	TLSWebSocket     string   `yaml:"tls_websocket" doc:"Address of MQTT over encrypted websockets (wss). Empty: off."`
	TLSCert          string   `yaml:"tls_cert" doc:"File of the certificate of both, in PEM, with those between it and the root. Renewed files are used without a restart."`
	TLSKey           string   `yaml:"tls_key" doc:"File of its key, in PEM."`
	TLSClientCA      string   `yaml:"tls_client_ca" doc:"File of the certificates, in PEM, that sign those of clients: one signed by them stands for a name and a password, and its common name is the user. Empty: clients' certificates are not asked for."`
	Users            []User   `yaml:"users" doc:"Who may connect, beside those of fettle user. None at all: anybody, with any name and password, as on the old broker."`
	MaxClients       int      `yaml:"max_clients" doc:"Clients connected at once."`
	MaxSessions      int      `yaml:"max_sessions" doc:"Sessions kept, those of clients that are away included; beyond, the longest away is forgotten. 0: twice max_clients."`
	MaxSubscriptions int      `yaml:"max_subscriptions" doc:"Subscriptions of one client; further ones are refused."`
	MaxKeepalive     Duration `yaml:"max_keepalive" doc:"Longest keepalive. A client of MQTT 5 is told, one of 3.1.1 that wants more, or none, is refused. 0s: no limit."`
	MaxMessages      int      `yaml:"max_messages_per_second" doc:"Messages that one client may publish a second; one that sends more is read more slowly. 0: no limit."`
	MaxBytes         Bytes    `yaml:"max_bytes_per_second" doc:"The same in bytes. 0: no limit."`
	MaxPacket        Bytes    `yaml:"max_packet" doc:"Largest MQTT packet."`
	MaxQueued        Bytes    `yaml:"max_queued" doc:"What may wait for one subscriber, connected or away: messages and 256 bytes for each. Further ones are lost to it, counted and logged; one larger than this waits alone."`
	MaxQueuedTotal   Bytes    `yaml:"max_queued_total" doc:"The same for all subscribers together. When it is full, those that hold most lose their newest messages to those that hold little."`
}

// A User may connect to the broker.
type User struct {
	Name     string `yaml:"name" doc:"User name."`
	Password Secret `yaml:"password" doc:"Password."`
}

// Ingest is the section about the gate for readings.
type Ingest struct {
	Topics          []string `yaml:"topics" doc:"MQTT topics that carry readings. {machine} and {sensor} stand for a level that names them; + and # match as in MQTT."`
	MaxFuture       Duration `yaml:"max_future" doc:"How far ahead of the clock the time of a reading may be."`
	Queue           Bytes    `yaml:"queue" doc:"Readings that may wait for the disk before senders are held back."`
	LineMachineTags []string `yaml:"line_machine_tags" doc:"Tags of line protocol that name the machine: the first of them that a line has. Lines without one are refused."`
	LinePlain       []string `yaml:"line_plain" doc:"Measurements of line protocol whose fields are sensors by their own names (*: all); those of others are called measurement.field."`
	MaxMachines     int      `yaml:"max_machines" doc:"Machines that may appear by themselves; readings of further ones are refused."`

	MQTT []OutsideBroker `yaml:"mqtt" doc:"Brokers next door whose messages are taken in too, each acknowledged to its broker once it is on disk. A reading without a time of its own may be stored twice if fettle dies between the two."`
}

// Retention is the section about how long readings are kept.
type Retention struct {
	Raw      Duration           `yaml:"raw" doc:"Age beyond which readings themselves go, such as 2160h for 90 days. 0: never. Late readings of before that are refused."`
	Minute   Duration           `yaml:"minute" doc:"Age beyond which what each sensor did in each minute (min, max, mean, count) goes. 0: never."`
	Hour     Duration           `yaml:"hour" doc:"The same by hour. 0: never."`
	Budget   Bytes              `yaml:"budget" doc:"What all files of closed days may take of the disk. Beyond it the oldest go: readings first, then minutes, then hours. 0: no bound."`
	Machines []MachineRetention `yaml:"machines" doc:"Machines with ages of their own, in place of all three above."`
	Every    Duration           `yaml:"every" doc:"How often days that are over are looked for, to be made into files, and files that are too old."`
}

// MachineRetention is how long one machine's readings are kept.
type MachineRetention struct {
	Machine string   `yaml:"machine" doc:"Its name."`
	Raw     Duration `yaml:"raw" doc:"As retention.raw."`
	Minute  Duration `yaml:"minute" doc:"As retention.minute."`
	Hour    Duration `yaml:"hour" doc:"As retention.hour."`
}

// Forecast is the section about forecasting.
type Forecast struct {
	Interval    Duration      `yaml:"interval" live:"yes" doc:"Time of a machine's own readings from one of its short forecasts to the next."`
	Lookback    Duration      `yaml:"lookback" live:"yes" doc:"How far back a short forecast looks for the readings that it is made from."`
	Machines    []MachineStep `yaml:"machines" doc:"Machines whose own step is set; of all others it is found in their readings."`
	Forecasters []Forecaster  `yaml:"forecasters" doc:"Forecasters that every machine has beside the short one (its own step, 10 steps ahead), once it has the readings for them. A list takes the place of the default one; [] for none."`
}

// A MachineStep is how far apart one machine's readings are for a forecast.
type MachineStep struct {
	Machine string   `yaml:"machine" doc:"Its name."`
	Step    Duration `yaml:"step" doc:"Time from one of its steps to the next; what a sensor says more often is averaged."`
}

// A Forecaster looks ahead at one scale of time.
type Forecaster struct {
	Name     string   `yaml:"name" doc:"Its name."`
	Step     Duration `yaml:"step" doc:"Time from one of its steps to the next; a step is the mean of that time."`
	Context  int      `yaml:"context" doc:"Steps that it looks back."`
	Steps    int      `yaml:"steps" doc:"Steps that it looks ahead."`
	Interval Duration `yaml:"interval" doc:"Time of a machine's own readings from one of its forecasts to the next."`
}

// Alarm is the section about when a score becomes an alarm.
type Alarm struct {
	RaiseAbove float64 `yaml:"raise_above" live:"yes" doc:"Score above which a reading speaks for an alarm; 3 of the last 5 raise one."`
	HighAbove  float64 `yaml:"high_above" live:"yes" doc:"Score above which it is of high priority."`
	ClearBelow float64 `yaml:"clear_below" live:"yes" doc:"Score below which a reading speaks for its end; 5 in a row end it."`
}

// Training is the section about training models.
type Training struct {
	Schedule string   `yaml:"schedule" doc:"When all machines are trained anew: cron with five fields (minute, hour, day of month, month, day of week), in local time. Empty: only by hand and by drift."`
	Stagger  Duration `yaml:"stagger" doc:"Time over which the machines of a schedule are spread, each at a place of its own."`
	Drift    string   `yaml:"drift" live:"yes" enum:"on,off" doc:"Whether a machine is trained whose scored forecasts have become worse than its model was on what was held out, at most once a day."`
	Preset   string   `yaml:"preset" doc:"What models are like: deployed, research, ett, or the path of a JSON file that names one of them (preset) and changes it (context, horizon, d_model, epochs and so on)."`
	History  Duration `yaml:"history" doc:"How far back readings are learned from and judged by. Forecasters with long steps look back on 8760 of them."`
	Parallel int      `yaml:"parallel" doc:"Machines that are trained at once on this computer."`
	Threads  int      `yaml:"threads" doc:"Threads of a training. 0: one for each processor, and on a cluster one."`
	Memory   Bytes    `yaml:"memory" doc:"Memory that a training may take; one that would take more is refused before it starts."`
	Budget   Duration `yaml:"budget" doc:"How long one machine may be trained; what was learned by then is judged. 0s: no limit."`
	Windows  int      `yaml:"windows" doc:"Windows that an epoch takes at most, other ones in each. 0: all."`
	Margin   float64  `yaml:"margin" doc:"By how much a new model must be better than what serves, as a share of its mean squared error on the held-out readings."`
	Shadow   Duration `yaml:"shadow" doc:"How long, in time of a machine's own readings, a new model that was better on the held-out readings is forecast beside what serves before it may serve: it must be better there too, by the margin, on at least 30 forecasts. 0s: it serves at once."`
	Attempts int      `yaml:"attempts" doc:"How often a training is started that was killed, each time from its checkpoint, before it has failed."`
	Engine   string   `yaml:"engine" enum:"local,spark" doc:"Where trainings run that do not say so (fettle train --on): on this computer, or on the cluster below."`
	Spark    Spark    `yaml:"spark"`
}

// Spark is the section about training on a cluster.
type Spark struct {
	URL       string            `yaml:"url" doc:"Connect server of a Spark 4 cluster: sc://host:15002, with /;use_ssl=true behind it for TLS. docs/spark.md tells more."`
	Token     Secret            `yaml:"token" doc:"Token that the Connect server asks for. It is sent to this server only."`
	CAFile    string            `yaml:"ca_file" doc:"File of the certificates, in PEM, that sign the Connect server's. Empty: those that this computer trusts."`
	Confs     map[string]string `yaml:"confs" doc:"Spark settings of fettle's session, such as {spark.sql.session.timeZone: UTC}."`
	Binary    string            `yaml:"binary" doc:"fettle for the cluster's computers, which is sent there: a Linux build of this version for their processors. Empty: this program itself."`
	Parallel  int               `yaml:"parallel" doc:"Machines that are trained there at once: as many as the cluster has slots. Further ones wait in the cluster if it has fewer."`
	FettleURL string            `yaml:"fettle_url" doc:"Address under which the cluster's computers reach fettle, such as https://fettle.plant.example: there they fetch large readings and tell their progress, each with a key for its own run only. Empty: readings go with the job (16 MiB at most), and there is no progress."`
}

// Limits is the section about resources.
type Limits struct {
	Memory Bytes `yaml:"memory" doc:"Memory that fettle tries to stay within (GOMEMLIMIT, and the size of its caches). 0: no limit."`
}

// Log is the section about logging.
type Log struct {
	Level   string `yaml:"level" live:"yes" enum:"debug,info,warn,error" doc:"The least important lines still shown."`
	Format  string `yaml:"format" enum:"text,json" doc:"Text for people (coloured on a terminal), or JSON lines for programs."`
	File    string `yaml:"file" doc:"File that has the log too, for fettle logs. A relative path starts at the data folder. Empty: none."`
	MaxSize Bytes  `yaml:"max_size" doc:"Size of that file at which a new one is begun."`
	Keep    int    `yaml:"keep" doc:"Older files that are kept beside it (.1, .2 and so on)."`
}

// Defaults is a Config as it is when nobody says anything.
func Defaults() Config {
	return Config{
		Data:   Data{Dir: "./fettle-data"},
		HTTP:   HTTP{Listen: "127.0.0.1:8000", KeyedListen: "127.0.0.1:8001", Hosts: []string{}, Origins: []string{}, Proxies: []string{}, KeyRate: 3000, AddressRate: 3000},
		Auth:   Auth{Local: "open"},
		Tunnel: Tunnel{Mode: "off", Binary: "cloudflared"},
		MQTT: MQTT{
			Listen:           "127.0.0.1:1883",
			WebSocket:        "127.0.0.1:9001",
			Users:            []User{},
			MaxClients:       1000,
			MaxSubscriptions: 1000,
			MaxPacket:        1 << 20,
			MaxQueued:        8 << 20,
			MaxQueuedTotal:   64 << 20,
		},
		Ingest: Ingest{
			Topics:      []string{"sensor/data", "machine_sensor_data", "fettle/{machine}/readings"},
			MaxFuture:   Duration(5 * time.Minute),
			Queue:       64 << 20,
			MaxMachines: 10_000,
			MQTT:        []OutsideBroker{},

			LineMachineTags: []string{"workspace_id", "machine"},
			LinePlain:       []string{"sensor_data"},
		},
		Influx:    defaultInflux(),
		Retention: Retention{Machines: []MachineRetention{}, Every: Duration(30 * time.Second)},
		Forecast: Forecast{
			Interval: Duration(60 * time.Second),
			Lookback: Duration(10 * time.Minute),
			Machines: []MachineStep{},
			Forecasters: []Forecaster{
				{Name: "hour", Step: Duration(time.Minute), Context: 120, Steps: 60, Interval: Duration(5 * time.Minute)},
				{Name: "days", Step: Duration(time.Hour), Context: 168, Steps: 48, Interval: Duration(time.Hour)},
			},
		},
		Alarm: Alarm{RaiseAbove: 1, HighAbove: 2, ClearBelow: 0.9},
		Training: Training{
			Schedule: "0 0 1 * *", Stagger: Duration(6 * time.Hour), Drift: "on", Preset: "deployed", History: Duration(30 * 24 * time.Hour),
			Parallel: 1, Memory: 512 << 20, Budget: Duration(30 * time.Minute), Windows: 20_000, Margin: 0.01, Attempts: 3,
			Engine: "local", Spark: Spark{Confs: map[string]string{}, Parallel: 8},
		},
		Notify: defaultNotify(),
		SMTP:   SMTP{Security: "starttls"},
		Limits: Limits{Memory: 256 << 20},
		Log:    Log{Level: "info", Format: "text", File: "fettle.log", MaxSize: 8 << 20, Keep: 3},
		Units:  map[string]string{"current": "A", "accX": "g", "accY": "g", "accZ": "g", "tempA": "°C", "tempB": "°C"},
	}
}

// Runs is the folder of training runs under way, inside the data folder.
func (d Data) Runs() string { return filepath.Join(d.Dir, "training") }

// DefaultFile is read from the working directory when nobody names a file.
const DefaultFile = "fettle.yaml"

// maxFile bounds the configuration file and each file of a secret, in bytes.
const maxFile = 64 << 10

// Load reads the file at path (none if empty), lays the environment over it
// and checks the whole. A fault in either is an error of type Faults.
func Load(path string) (Config, error) {
	var text []byte
	if path != "" {
		var err error
		if text, err = readSmall(path); err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
	}
	return load(path, text, os.Environ())
}

// load is Load with its surroundings given. Secrets' files are looked for
// beside the configuration file.
func load(path string, text []byte, environ []string) (Config, error) {
	l := &loader{file: path, folder: filepath.Dir(path), places: map[string]place{}}
	c := Defaults()
	if path != "" {
		l.overlayFile(text, &c)
	}
	l.overlayEnvironment(environ, &c)
	for _, p := range c.problems() {
		if !l.faultUnder(p.Field) {
			l.fault(l.placeOf(p.Field), p)
		}
	}
	if len(l.faults) > 0 {
		return Config{}, l.sortedFaults()
	}
	c.warnings = l.warnings
	c.origins = l.origins()
	if path != "" {
		if c.file, _ = filepath.Abs(path); c.file == "" {
			c.file = path
		}
	}
	return c, nil
}

// Warnings says what Load found that is not wrong but worth a word: a secret
// that others on this computer can read, a variable that no setting listens to.
func (c Config) Warnings() []string { return c.warnings }

// Validate checks a Config that was put together in code; Load has done so
// already. All faults come at once, in an error of type Faults.
func (c Config) Validate() error {
	var faults Faults
	for _, p := range c.problems() {
		faults = append(faults, Fault{Err: p})
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}
