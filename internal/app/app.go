// Package app is the life of the server: it opens what the folder holds, starts
// every part, waits until all are ready, and stops them in reverse. What flows
// between the parts is in pipeline.go and nowhere else.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/api"
	"fettle/internal/broker"
	"fettle/internal/codec"
	"fettle/internal/config"
	"fettle/internal/db"
	"fettle/internal/events"
	"fettle/internal/forecast"
	"fettle/internal/ingest"
	"fettle/internal/model"
	"fettle/internal/notify"
	"fettle/internal/readings"
	"fettle/internal/train"
	"fettle/internal/verdict"
)

// An App is one running server over one data folder.
type App struct {
	cfg     config.Config
	version string
	log     *slog.Logger
	started time.Time
	now     func() time.Time // the wall clock
	lag     time.Duration    // how much later than the clock forecasts are made: past that is lived again has no live ticks

	// Level, if there is one, is the log's, which may change while the server
	// runs. It is set before Run.
	Level *slog.LevelVar

	db       *db.DB
	settings *liveSettings
	models   *model.Folder
	keys     *api.Keys
	accounts *broker.Accounts
	notices  *notify.Box
	flow     *pipeline
	keeper   *readings.Keeper
	training *train.Manager
	usage    usage
	web      *listeners
	tunnels  *tunnels
	outside  []outsideBroker
	influx   neighbours

	ready chan struct{}   // closed when everything answers
	stop  func()          // ends Run; may be called before it begins
	asked <-chan struct{} // closed when somebody has asked for the end
}

// New opens the data folder and everything in it, and starts nothing. The
// caller runs the App once, which also closes it.
func New(cfg config.Config, version string, log *slog.Logger) (*App, error) {
	return newAt(time.Now, cfg, version, log)
}

// newAt is New by another clock.
func newAt(now func() time.Time, cfg config.Config, version string, log *slog.Logger) (*App, error) {
	if err := os.MkdirAll(cfg.Data.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	limitMemory(cfg.Limits)
	store, err := db.Open(cfg.Data.Store(), db.Options{Log: log})
	if err != nil {
		return nil, err
	}
	asked := make(chan struct{})
	a := &App{
		cfg: cfg, version: version, log: log, started: time.Now(), now: now, db: store, ready: make(chan struct{}),
		stop: sync.OnceFunc(func() { close(asked) }), asked: asked,
	}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return a, nil
}

// garbageShare is how much garbage may lie beside what is in use before it is
// collected, in percent. What is in use is small and little of it points to
// anything, so collecting twice as often as Go does by itself costs less than
// the memory would.
const garbageShare = 50

// limitMemory sets Go's own bounds, where GOGC does not say otherwise.
func limitMemory(limits config.Limits) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbageShare)
	}
	if limits.Memory > 0 {
		debug.SetMemoryLimit(int64(limits.Memory))
	}
}

// open makes the parts, lowest floor first, and gives each what it needs.
func (a *App) open() error {
	if err := a.openStages(); err != nil {
		return err
	}
	return a.openDoors()
}

// openStages makes what readings go through once they are let in.
func (a *App) openStages() error {
	a.settings = a.newSettings()
	rows, err := readings.Open(a.db, a.cfg.Data.Dir, a.logOf("readings"))
	if err != nil {
		return err
	}
	a.keeper = readings.NewKeeper(keepConfig(a.cfg.Retention), rows, a.logOf("readings"))
	log, err := events.Open(a.db, a.now)
	if err != nil {
		return err
	}
	a.flow = &pipeline{readings: rows, events: log, awake: newWakeSet(), curves: newWakeSet(), rhythm: newRhythm(rows), unit: a.unit, now: a.now, log: a.logOf("pipeline")}
	if a.flow.topics, err = codec.NewTopics(a.cfg.Ingest.Topics); err != nil {
		return err
	}
	if a.models, err = model.Open(a.cfg.Data.Models(), a.now, a.modelsChanged, a.logOf("models")); err != nil {
		return err
	}
	if a.flow.judge, err = verdict.New(a.db, rows, a.logOf("verdict")); err != nil {
		return err
	}
	if a.flow.alarms, err = alarm.Open(a.db, a.now, a.flow.alarmed); err != nil {
		return err
	}
	a.flow.alarms.SetLimits(alarmLimits(a.cfg.Alarm))
	a.flow.judge.Silenced = a.flow.alarms.SilencedWithin
	if a.flow.forecasts, err = forecast.New(forecast.Config{Forecasters: a.forecasters(), Steps: a.steps(), ModelBytes: int64(a.cfg.Limits.Memory) / 4, Now: func() time.Time { return a.now().Add(a.lag) }}, rows, a.models, a.db, a.logOf("forecast")); err != nil {
		return err
	}
	if a.training, err = train.New(a.trainingConfig(), a.trainingDeps(), a.logOf("training")); err != nil {
		return err
	}
	a.flow.tried = a.training.Tried
	return nil
}

// openDoors makes what lets readings in and people look.
func (a *App) openDoors() (err error) {
	a.flow.gate = ingest.New(ingest.Config{
		MaxFuture: time.Duration(a.cfg.Ingest.MaxFuture), QueueBytes: int(a.cfg.Ingest.Queue), MaxMachines: a.cfg.Ingest.MaxMachines, Now: a.now,
	}, a.flow.readings, a.flow.committed)
	if err := a.openNotices(); err != nil {
		return err
	}
	if err := a.openNeighbours(); err != nil {
		return err
	}
	if a.accounts, err = broker.OpenAccounts(a.db, time.Now); err != nil {
		return err
	}
	if a.flow.broker, err = broker.New(a.brokerConfig(), a.flow.receive, a.logOf("broker")); err != nil {
		return err
	}
	if err := a.openOutside(); err != nil {
		return err
	}
	if a.keys, err = api.OpenKeys(a.db, time.Now); err != nil {
		return err
	}
	a.web = &listeners{cfg: a.cfg.HTTP, keys: a.keys, token: newToken(), log: a.logOf("http"), tunnel: a.cfg.Tunnel.Mode != "off"}
	a.tunnels = a.newTunnels()
	a.web.api, err = a.newAPI()
	return err
}

func keepConfig(r config.Retention) readings.KeepConfig {
	ages := func(raw, minute, hour config.Duration) readings.Ages {
		return readings.Ages{readings.Raw: time.Duration(raw), readings.Minute: time.Duration(minute), readings.Hour: time.Duration(hour)}
	}
	keep := readings.Retention{Default: ages(r.Raw, r.Minute, r.Hour), Machines: map[string]readings.Ages{}, Budget: int64(r.Budget)}
	for _, m := range r.Machines {
		keep.Machines[m.Machine] = ages(m.Raw, m.Minute, m.Hour)
	}
	return readings.KeepConfig{Every: time.Duration(r.Every), Retention: keep}
}

func (a *App) brokerConfig() broker.Config {
	users := make([]broker.User, len(a.cfg.MQTT.Users))
	for i, u := range a.cfg.MQTT.Users {
		users[i] = broker.User{Name: u.Name, Password: u.Password.Reveal()}
	}
	return broker.Config{
		Listen: a.cfg.MQTT.Listen, WebSocket: a.cfg.MQTT.WebSocket, TLSListen: a.cfg.MQTT.TLSListen, TLSWebSocket: a.cfg.MQTT.TLSWebSocket,
		TLS:   broker.TLS{Cert: a.cfg.MQTT.TLSCert, Key: a.cfg.MQTT.TLSKey, ClientCA: a.cfg.MQTT.TLSClientCA},
		Users: users, Accounts: a.accounts, Store: a.db,
		MaxClients: a.cfg.MQTT.MaxClients, MaxPacket: int(a.cfg.MQTT.MaxPacket),
		Limits: broker.Limits{
			Messages: a.cfg.MQTT.MaxMessages, Bytes: int(a.cfg.MQTT.MaxBytes), Sessions: a.cfg.MQTT.MaxSessions,
			Subscriptions: a.cfg.MQTT.MaxSubscriptions, Keepalive: time.Duration(a.cfg.MQTT.MaxKeepalive),
			Queue: int(a.cfg.MQTT.MaxQueued), QueueTotal: int(a.cfg.MQTT.MaxQueuedTotal),
		},
		Wants: func(topic string) bool { _, ok := a.flow.topics.Match(topic); return ok },
	}
}

// Run starts every part, and returns when the context ends or a part fails,
// after all have stopped and the folder is closed.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.db.Close()) }()
	ctx, end := context.WithCancel(ctx)
	defer end()
	if err := a.web.listen(); err != nil {
		return err
	}
	// The gate outlives what feeds it, so that whoever waits for a commit when
	// the server stops still gets an answer.
	gateCtx, stopGate := context.WithCancel(context.WithoutCancel(ctx))
	gate := make(chan error, 1)
	go func() { gate <- a.flow.gate.Run(gateCtx) }()

	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return a.flow.broker.Run(ctx) })
	parts.Go(func() error { return a.listenOutside(ctx) })
	parts.Go(func() error { return a.models.Run(ctx) })
	parts.Go(func() error { return a.flow.run(ctx) })
	parts.Go(func() error { return a.web.run(ctx) })
	parts.Go(func() error { return a.tunnels.run(ctx) })
	parts.Go(func() error { return a.influx.runFollow(ctx) })
	parts.Go(func() error { return a.influx.runMirror(ctx) })
	parts.Go(func() error { return a.keeper.Run(ctx) })
	parts.Go(func() error { return a.notices.Run(ctx) })
	parts.Go(func() error { return a.training.Run(ctx) })
	parts.Go(func() error { return a.watchDrift(ctx) })
	parts.Go(func() error { return a.usage.run(ctx) })
	parts.Go(func() error { return a.settings.run(ctx) })
	parts.Go(func() error { return a.announce(ctx) })
	parts.Go(func() error { return a.endWhenAsked(ctx, end) })
	err = parts.Wait()
	stopGate()
	return errors.Join(err, <-gate)
}

// endWhenAsked ends the server once somebody has asked for it.
func (a *App) endWhenAsked(ctx context.Context, end context.CancelFunc) error {
	select {
	case <-a.asked:
		a.log.Info("stopping, as asked for")
		end()
	case <-ctx.Done():
	}
	return nil
}

// logOf is the log of one part, whose lines fettle logs PART shows.
func (a *App) logOf(part string) *slog.Logger { return a.log.With("part", part) }

// announce waits for the broker, then tells the commands beside the server (by
// server.json) and the log where everything is.
func (a *App) announce(ctx context.Context) error {
	select {
	case <-a.flow.broker.Ready():
	case <-ctx.Done():
		return nil
	}
	at := a.Addresses()
	if err := config.WriteServer(a.cfg.Data.Dir, config.Server{
		PID: os.Getpid(), HTTP: at.HTTP, KeyedHTTP: at.KeyedHTTP, MQTT: at.MQTT, WebSocket: at.WebSocket,
		Token: config.Secret(a.web.token), Version: a.version, Started: a.started,
	}); err != nil {
		return err
	}
	a.flow.tellAll()
	close(a.ready)
	a.log.Info("ready", "http", at.HTTP, "keyed_http", at.KeyedHTTP, "mqtt", at.MQTT, "websocket", at.WebSocket, "mqtts", at.MQTTS, "wss", at.WSS,
		"machines", len(a.flow.readings.Machines()), "took", time.Since(a.started).Round(time.Millisecond))
	<-ctx.Done()
	return config.RemoveServer(a.cfg.Data.Dir, os.Getpid())
}

// Ready is closed once every listener answers.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Alive returns an error if the server hangs such that only a new start would
// help: its page does not answer, or its gate does not move. A disk that is full
// or broken is no such thing; the status tells of it.
func (a *App) Alive(ctx context.Context) error {
	if err := a.web.answers(ctx); err != nil {
		return err
	}
	if a.db.Trouble() != nil {
		return nil
	}
	return a.flow.gate.Turn(ctx)
}

// Addresses are the listeners' own, with the ports they got.
func (a *App) Addresses() api.Addresses {
	return api.Addresses{HTTP: a.web.address(), KeyedHTTP: a.web.keyedAddress(), Public: a.tunnels.public(), MQTT: a.flow.broker.Addr(), WebSocket: a.flow.broker.WebSocketAddr(),
		MQTTS: a.flow.broker.TLSAddr(), WSS: a.flow.broker.TLSWebSocketAddr()}
}

// Submit gives readings to the same gate as a message, and returns once they
// are on disk: the demo fills in its history with it.
func (a *App) Submit(ctx context.Context, rows []fettle.Reading) error {
	_, err := a.flow.gate.Submit(ctx, rows)
	return err
}

// Last is a machine's newest event time; zero if it has none.
func (a *App) Last(machine string) time.Time {
	info, _ := a.flow.readings.Info(machine)
	return info.Last
}

func (a *App) unit(sensor string) string { return a.current().Units[sensor] }

// modelsChanged tells everybody about a folder of models that is not what it was.
func (a *App) modelsChanged(models []fettle.Model) {
	for _, m := range models {
		a.flow.say(fettle.EventModel, m.Machine, m)
		if _, stored := a.flow.readings.Info(m.Machine); m.Champion && stored {
			a.flow.awake.wake(m.Machine) // its newest forecast may be another model's
		}
	}
	if a.training != nil { // it looks by itself when it is opened
		a.training.Decided(models)
	}
}
