package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/influx"
)

type migrateCmd struct {
	Influx      string `required:"" placeholder:"URL" help:"Address of the InfluxDB 2, such as http://127.0.0.1:8086."`
	TokenFile   string `placeholder:"FILE" help:"File with a token that may read the bucket. Without it, $$FETTLE_INFLUX_TOKEN."`
	Org         string `placeholder:"NAME" help:"Organization. Default: the only one that the token sees."`
	Bucket      string `default:"iot_data" placeholder:"NAME" help:"Bucket to take over. Default: ${default}."`
	Measurement string `default:"sensor_data" placeholder:"NAME" help:"Measurement whose fields are the sensors. Default: ${default}."`
	MachineTag  string `default:"workspace_id" placeholder:"NAME" help:"Tag that names the machine. Default: ${default}."`
	Days        int    `placeholder:"N" help:"Only the last N days. Default: all there is."`
	Models      string `placeholder:"DIR" help:"Folder with the old system's models (model_<machine>_<time>) and their scalers."`
	DryRun      bool   `help:"Say what there is and what would be done, and do nothing."`
	JSON        bool   `help:"Print JSON."`
}

func (migrateCmd) Help() string {
	return "Takes over readings out of InfluxDB and models out of their folder, and compares at the end what InfluxDB has and what fettle has, by machine and sensor. " +
		"Beside a running server the server takes them; without one they go into the data folder. The old system is only read, and goes on as it is. " +
		"Stopped half-way, the same command goes on where it was; given again later, it takes over what has come since. docs/moving-in.md has the whole way.\n\n" + examples(
		"fettle migrate --influx http://127.0.0.1:8086 --token-file influx.token --bucket iot_data --models spark-apps/models --dry-run",
		"fettle migrate --influx http://127.0.0.1:8086 --token-file influx.token --bucket iot_data --models spark-apps/models",
		"fettle migrate --influx http://127.0.0.1:8086 --token-file influx.token --bucket New_Sensor --days 30",
	)
}

// Validate checks what kong cannot.
func (c *migrateCmd) Validate() error {
	if c.Days < 0 {
		return fmt.Errorf("--days is %d; expected a number of days", c.Days)
	}
	return nil
}

func (c *migrateCmd) Run(ctx context.Context, g *globals, out io.Writer) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	models, err := oldModels(c.Models) // before the long part
	if err != nil {
		return err
	}
	m := &migration{migrateCmd: c, ingest: cfg.Ingest, dir: cfg.Data.Dir, models: models}
	if err := m.reach(ctx); err != nil {
		return err
	}
	if err := m.plan(ctx, time.Now()); err != nil {
		return err
	}
	if c.DryRun {
		return m.printPlan(out)
	}
	data, err := openBackend(ctx, cfg.Data, true)
	if err != nil {
		return err
	}
	result, err := m.move(ctx, data)
	if err = errors.Join(err, data.Close()); err != nil {
		return err
	}
	return m.print(out, result)
}

// A migration is one under way.
type migration struct {
	*migrateCmd
	ingest config.Ingest
	dir    string // data folder
	models []oldModel

	client   *influx.Client
	from, to time.Time
	done     moved          // up to when all is taken over, by this and earlier runs
	stored   int64          // by this run
	refused  int64          // by this run
	why      string         // the first was refused
	there    []influx.Tally // what InfluxDB has of all that time
}

func (m *migration) bucket() influx.Bucket {
	return influx.Bucket{Name: m.Bucket, Measurement: m.Measurement, MachineTag: m.MachineTag}
}

// reach finds the way to the bucket, and says what is wrong with it.
func (m *migration) reach(ctx context.Context) error {
	token := os.Getenv("FETTLE_INFLUX_TOKEN")
	if m.TokenFile != "" {
		text, err := os.ReadFile(m.TokenFile)
		if err != nil {
			return fmt.Errorf("read token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if token == "" {
		return fettle.Errorf(fettle.Invalid, "there is no token: --token-file FILE or FETTLE_INFLUX_TOKEN give it. In InfluxDB's page: Load Data, API Tokens; or `influx auth list`")
	}
	if m.Org == "" {
		client, err := influx.NewClient(influx.Target{URL: m.Influx, Token: token})
		if err != nil {
			return err
		}
		orgs, err := client.Orgs(ctx)
		if err != nil {
			return m.explain(err)
		}
		if len(orgs) != 1 {
			return fettle.Errorf(fettle.Invalid, "--org NAME has to say which organization: the token sees %s", cmp.Or(strings.Join(orgs, ", "), "none"))
		}
		m.Org = orgs[0]
	}
	client, err := influx.NewClient(influx.Target{URL: m.Influx, Org: m.Org, Token: token})
	m.client = client
	return err
}

// explain says what to do about an answer of InfluxDB.
func (m *migration) explain(err error) error {
	refused := new(influx.Refusal)
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		return fmt.Errorf("%w. The token is none of %s: copy it anew (InfluxDB's page: Load Data, API Tokens)", err, m.Influx)
	case errors.As(err, &refused) && strings.Contains(refused.Message, "organization name"):
		return fmt.Errorf("%w. Without --org it is the one that the token sees", err)
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound && m.client != nil:
		return fmt.Errorf("%w. %s", err, m.buckets())
	case fettle.KindOf(err) == fettle.Unavailable:
		return fmt.Errorf("%w. Is %s the address of the InfluxDB, and does it run?", err, m.Influx)
	}
	return err
}

// buckets says which ones there are, for who named another.
func (m *migration) buckets() string {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	names, err := m.client.Buckets(ctx)
	if err != nil || len(names) == 0 {
		return fmt.Sprintf("The token sees no bucket of organization %s", m.Org)
	}
	return fmt.Sprintf("The token sees these buckets of organization %s: %s", m.Org, strings.Join(names, ", "))
}

// plan finds out what there is, and where an earlier run got to.
func (m *migration) plan(ctx context.Context, now time.Time) error {
	m.to = now.UTC().Truncate(time.Microsecond)
	m.from = time.Unix(0, 0).UTC()
	if m.Days > 0 {
		m.from = m.to.AddDate(0, 0, -m.Days)
	}
	m.done = moved{URL: m.Influx, Org: m.Org, Bucket: m.Bucket, Measurement: m.Measurement, MachineTag: m.MachineTag, Days: m.Days}
	before, err := readMoved(m.dir)
	if err != nil {
		return err
	}
	if before.sameAs(m.done) {
		m.done, m.from = before, before.From
	}
	m.there, err = m.bucket().Survey(ctx, m.client, m.from, m.to)
	if err != nil {
		return m.explain(err)
	}
	if len(m.there) == 0 {
		return m.nothing(ctx)
	}
	if m.done.Until.IsZero() {
		m.from = slices.MinFunc(m.there, func(a, b influx.Tally) int { return a.First.Compare(b.First) }).First.UTC().Truncate(time.Microsecond)
		m.done.From, m.done.Until = m.from, m.from
	}
	return nil
}

// nothing says why there is nothing to take over.
func (m *migration) nothing(ctx context.Context) error {
	names, err := m.client.Measurements(ctx, m.Bucket)
	switch {
	case err != nil:
		return m.explain(err)
	case len(names) == 0:
		return fettle.Errorf(fettle.NotFound, "bucket %s is empty. %s", m.Bucket, m.buckets())
	case !slices.Contains(names, m.Measurement):
		return fettle.Errorf(fettle.NotFound, "bucket %s has nothing of measurement %s; it has %s: --measurement says which", m.Bucket, m.Measurement, strings.Join(names, ", "))
	default:
		return fettle.Errorf(fettle.NotFound, "bucket %s has no numbers of measurement %s with the tag %s since %s; --days and --machine-tag say what to look for",
			m.Bucket, m.Measurement, m.MachineTag, m.from.Format(time.RFC3339))
	}
}

// lookback is how far a later run reaches back into what was taken over, for
// what was written late.
const lookback = time.Hour

// move takes over readings, then models, and compares.
func (m *migration) move(ctx context.Context, data backend) (result migrated, err error) {
	if err := m.moveReadings(ctx, data); err != nil {
		switch {
		case ctx.Err() != nil:
			err = errors.New("stopped")
		case !errors.Is(err, influx.ErrNotStored):
			err = m.explain(err)
		}
		return result, fmt.Errorf("%w. The same command goes on at %s", err, m.done.Until.Format(time.RFC3339))
	}
	if result.Models, err = moveModels(ctx, data, m.models); err != nil {
		return result, err
	}
	note("comparing what InfluxDB has with what fettle has")
	result.Sensors, err = m.compare(ctx, data)
	result.From, result.To, result.Stored, result.Refused, result.Why = m.from, m.to, m.stored, m.refused, m.why
	return result, err
}

func (m *migration) moveReadings(ctx context.Context, data backend) error {
	in := data.Intake(ctx, m.ingest)
	from := m.done.Until
	if from.After(m.from) {
		if from = from.Add(-lookback); from.Before(m.from) {
			from = m.from
		}
		note("going on at %s", m.done.Until.Format(time.RFC3339))
	}
	progress := newProgress(m.rowsAfter(from), "readings")
	move := influx.Move{Bucket: m.bucket(), Client: m.client, From: from, To: m.to, Submit: in.Submit,
		Moved: func(stored, refused int64, why error, until time.Time) error {
			progress.step(int(stored+refused), until)
			return m.note(stored, refused, why, until)
		}}
	err := move.Run(ctx)
	progress.end()
	return errors.Join(err, in.Close())
}

// rowsAfter guesses how many readings there are from a time on, for the bar.
func (m *migration) rowsAfter(from time.Time) int64 {
	most := map[string]float64{}
	for _, t := range m.there {
		part := 1.0
		if whole := t.Last.Sub(t.First).Seconds(); whole > 0 && from.After(t.First) {
			part = max(0, t.Last.Sub(from).Seconds()) / whole
		}
		most[t.Machine] = max(most[t.Machine], part*float64(t.Count))
	}
	var rows float64
	for _, n := range most {
		rows += n
	}
	return int64(rows)
}

// note keeps how far it is, once a stretch is over.
func (m *migration) note(stored, refused int64, why error, until time.Time) error {
	m.stored += stored
	m.refused += refused
	if why != nil && m.why == "" {
		m.why = fettle.Shorten(why.Error())
	}
	if !until.After(m.done.Until) {
		return nil
	}
	m.done.Until = until
	return m.done.write(m.dir)
}
