package app

import (
	"context"
	"fmt"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/codec"
	"fettle/internal/config"
	"fettle/internal/influx"
)

// neighbours are the InfluxDB next door, in both directions; nil where one is
// off.
type neighbours struct {
	follow *influx.Follower
	mirror *influx.Mirror
}

// openNeighbours makes what the configuration asks for.
func (a *App) openNeighbours() error {
	if m := a.cfg.Influx.Mirror; m.URL == "" {
		if err := influx.NoMirror(a.db, a.flow.readings); err != nil {
			return err
		}
	} else {
		mirror, err := influx.NewMirror(influx.MirrorConfig{
			Target: influx.Target{URL: m.URL, Org: m.Org, Token: m.Token.Reveal()},
			Bucket: m.Bucket, Retention: time.Duration(m.Retention),
			Anomalies: m.Anomalies, AnomaliesRetention: time.Duration(m.AnomaliesRetention), Now: time.Now,
		}, a.db, a.flow.readings, a.flow.judge.AnomaliesAfter, a.log)
		if err != nil {
			return err
		}
		a.influx.mirror = mirror
	}
	f := a.cfg.Influx.Follow
	if f.URL == "" {
		return nil
	}
	follow, err := influx.NewFollower(influx.FollowConfig{
		Target: influx.Target{URL: f.URL, Org: f.Org, Token: f.Token.Reveal()},
		Bucket: f.Bucket, Measurement: f.Measurement, MachineTag: f.MachineTag,
		Every: time.Duration(f.Every), Lookback: time.Duration(f.Lookback), Backfill: time.Duration(f.Backfill), Now: time.Now,
	}, a.db, a.flow.readings, a.submit, a.log)
	a.influx.follow = follow
	return err
}

// submit hands readings of a neighbour to the gate.
func (a *App) submit(ctx context.Context, rows []fettle.Reading) (stored int, err error) {
	done, err := a.flow.gate.Submit(ctx, rows)
	return done.Stored, err
}

// lines is where line protocol has machine and sensors.
func lines(in config.Ingest) codec.Shape {
	return codec.Shape{MachineTags: in.LineMachineTags, Plain: in.LinePlain}
}

func (n *neighbours) runFollow(ctx context.Context) error {
	if n.follow == nil {
		return nil
	}
	return n.follow.Run(ctx)
}

func (n *neighbours) runMirror(ctx context.Context) error {
	if n.mirror == nil {
		return nil
	}
	return n.mirror.Run(ctx)
}

// influxParts tell how both do.
func (a *App) influxParts() []api.Part {
	follow := api.Part{Name: "influx follow", State: api.PartOff, Detail: "off"}
	if a.influx.follow != nil {
		c, s := a.cfg.Influx.Follow, a.influx.follow.Stats()
		read := "not read yet"
		if !s.Until.IsZero() {
			read = "read up to " + s.Until.Format(time.RFC3339)
		}
		follow = influxPart(follow.Name, s, fmt.Sprintf("%d readings from bucket %s of %s, %d refused, %s", s.Rows, c.Bucket, c.URL, s.Refused, read))
		if lag := s.Lag(time.Now()); !s.Until.IsZero() && lag > 2*time.Duration(c.Every)+time.Minute {
			follow.Detail += fmt.Sprintf(" (%s behind)", lag.Round(time.Second))
		}
	}
	mirror := api.Part{Name: "influx mirror", State: api.PartOff, Detail: "off"}
	if a.influx.mirror != nil {
		c, s := a.cfg.Influx.Mirror, a.influx.mirror.Stats()
		mirror = influxPart(mirror.Name, s, fmt.Sprintf("%d readings and %d anomaly records to %s, %d refused by it", s.Rows, s.Anomalies, c.URL, s.Refused))
		if lag := s.Lag(time.Now()); lag > time.Minute {
			mirror.Detail += fmt.Sprintf(", behind since %s", s.Since.UTC().Format(time.RFC3339))
		}
	}
	return []api.Part{follow, mirror}
}

func influxPart(name string, s influx.Stats, detail string) api.Part {
	part := api.Part{Name: name, State: api.PartOK, Detail: detail}
	if !s.LastOK.IsZero() {
		part.Detail += ", last at " + s.LastOK.UTC().Format(time.RFC3339)
	}
	switch {
	case s.LastError != "":
		part.State = api.PartError
		part.Detail += "; " + s.LastError
	case s.Refused > 0:
		part.State = api.PartWarning
	}
	return part
}

// influxSamples are the same for /metrics.
func (a *App) influxSamples() []api.Sample {
	var samples []api.Sample
	add := func(way string, s influx.Stats) {
		add := func(name string, value float64) {
			samples = append(samples, api.Sample{Name: "fettle_influx_" + way + "_" + name, Value: value})
		}
		add("readings_total", float64(s.Rows))
		add("refused_total", float64(s.Refused))
		add("errors_total", float64(s.Errors))
		add("lag_seconds", s.Lag(time.Now()).Seconds())
		if !s.LastOK.IsZero() {
			add("last_success_timestamp_seconds", float64(s.LastOK.UnixMilli())/1e3)
		}
	}
	if a.influx.follow != nil {
		add("follow", a.influx.follow.Stats())
	}
	if a.influx.mirror != nil {
		s := a.influx.mirror.Stats()
		add("mirror", s)
		samples = append(samples, api.Sample{Name: "fettle_influx_mirror_anomalies_total", Value: float64(s.Anomalies)})
	}
	return samples
}
