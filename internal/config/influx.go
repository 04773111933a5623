package config

import (
	"net/url"
	"strings"
	"time"
)

// Influx is the section about an InfluxDB 2 next door.
type Influx struct {
	Follow Follow `yaml:"follow" doc:"A bucket that others fill, read into fettle."`
	Mirror Mirror `yaml:"mirror" doc:"Buckets that fettle fills."`
}

// Follow is what is read from InfluxDB.
type Follow struct {
	URL         string   `yaml:"url" doc:"InfluxDB whose bucket is followed, such as http://127.0.0.1:8086. Empty: off."`
	Org         string   `yaml:"org" doc:"Its organization."`
	Bucket      string   `yaml:"bucket" doc:"The bucket that others fill with readings."`
	Token       Secret   `yaml:"token" doc:"Token that may read the bucket."`
	Measurement string   `yaml:"measurement" doc:"Measurement of the readings; its fields are the sensors."`
	MachineTag  string   `yaml:"machine_tag" doc:"Tag whose values are the machines."`
	Every       Duration `yaml:"every" doc:"Time from one look into the bucket to the next."`
	Lookback    Duration `yaml:"lookback" doc:"How far each look reaches back behind the one before, for readings that were written late."`
	Backfill    Duration `yaml:"backfill" doc:"How far the first look reaches back: 720h are 30 days."`
}

// Mirror is what is written to InfluxDB.
type Mirror struct {
	URL                string   `yaml:"url" doc:"InfluxDB to which readings and anomaly records are written. Empty: off."`
	Org                string   `yaml:"org" doc:"Its organization."`
	Token              Secret   `yaml:"token" doc:"Token that may write the buckets and, where they are missing, make them."`
	Bucket             string   `yaml:"bucket" doc:"Bucket of every reading, in the shape of the old system. Empty: only anomaly records are written."`
	Retention          Duration `yaml:"retention" doc:"Retention of that bucket, if fettle makes it. 0: for ever."`
	Anomalies          string   `yaml:"anomalies" doc:"Bucket of every anomaly record, in the shape of the old system. Empty: none are written."`
	AnomaliesRetention Duration `yaml:"anomalies_retention" doc:"Retention of that bucket, if fettle makes it. 0: for ever."`
}

func defaultInflux() Influx {
	return Influx{
		Follow: Follow{Measurement: "sensor_data", MachineTag: "workspace_id", Every: Duration(time.Minute), Lookback: Duration(10 * time.Minute), Backfill: Duration(30 * 24 * time.Hour)},
		Mirror: Mirror{Anomalies: "Anomalies", AnomaliesRetention: Duration(90 * 24 * time.Hour)},
	}
}

// maxAge is the longest stretch of time that makes sense for a bucket.
const maxAge = 100 * 366 * 24 * time.Hour

// influx checks both directions, and that they do not feed each other.
func (v *validator) influx(in Influx) {
	f, m := in.Follow, in.Mirror
	if f.URL != "" {
		v.influxURL(f.URL, "influx.follow.url")
		v.check(f.Org != "", "influx.follow.org", `""`, "the organization of the bucket")
		v.check(f.Bucket != "", "influx.follow.bucket", `""`, "the bucket to follow")
		v.check(f.Measurement != "", "influx.follow.measurement", `""`, "a measurement, such as sensor_data")
		v.check(f.MachineTag != "", "influx.follow.machine_tag", `""`, "a tag, such as workspace_id")
		v.duration(f.Every, "influx.follow.every", 100*time.Millisecond, 24*time.Hour)
		v.duration(f.Lookback, "influx.follow.lookback", time.Second, 30*24*time.Hour)
		v.duration(f.Backfill, "influx.follow.backfill", 0, maxAge)
	}
	if m.URL != "" {
		v.influxURL(m.URL, "influx.mirror.url")
		v.check(m.Org != "", "influx.mirror.org", `""`, "the organization of the buckets")
		v.check(m.Bucket != "" || m.Anomalies != "", "influx.mirror.bucket", `""`, "a bucket here or in influx.mirror.anomalies")
		v.check(m.Bucket == "" || m.Bucket != m.Anomalies, "influx.mirror.anomalies", quoted(m.Anomalies), "another bucket than influx.mirror.bucket")
		v.duration(m.Retention, "influx.mirror.retention", 0, maxAge)
		v.duration(m.AnomaliesRetention, "influx.mirror.anomalies_retention", 0, maxAge)
	}
	if f.URL != "" && m.URL != "" && f.Org == m.Org && sameServer(f.URL, m.URL) {
		const expected = "another bucket than influx.follow.bucket: fettle would read what it wrote"
		v.check(f.Bucket != m.Bucket, "influx.mirror.bucket", quoted(m.Bucket), expected)
		v.check(f.Bucket != m.Anomalies, "influx.mirror.anomalies", quoted(m.Anomalies), expected)
	}
}

func (v *validator) influxURL(text, path string) {
	u, err := url.Parse(text)
	good := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
	if err == nil && u.User != nil {
		text = u.Redacted()
	}
	v.check(good, path, quoted(text), "an address such as http://127.0.0.1:8086; the token has a setting of its own")
}

// sameServer tells whether two addresses can be of one InfluxDB. Names of this
// computer are taken for one.
func sameServer(a, b string) bool {
	place := func(text string) string {
		u, err := url.Parse(text)
		if err != nil {
			return text
		}
		host, port := strings.ToLower(u.Hostname()), u.Port()
		if host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.") {
			host = "localhost"
		}
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return host + " " + port + strings.TrimSuffix(u.Path, "/")
	}
	return place(a) == place(b)
}
