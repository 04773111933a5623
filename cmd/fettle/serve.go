package main

import (
	"context"
	"os"

	"fettle/internal/app"
)

type serveCmd struct{}

func (serveCmd) Help() string {
	return examples(
		"fettle serve                         everything on this computer, data in ./fettle-data",
		"fettle serve -c /etc/fettle.yaml     with a configuration file",
		"FETTLE_MQTT_LISTEN=127.0.0.1:1884 fettle serve    another port for the broker",
		"fettle status                        from another terminal: how it is doing",
	)
}

// Run serves until Ctrl-C, SIGTERM or fettle stop.
func (serveCmd) Run(ctx context.Context, g *globals) error {
	cfg, err := g.config()
	if err != nil {
		return err
	}
	log, err := openLog(os.Stderr, cfg)
	if err != nil {
		return err
	}
	defer log.Close()
	server, err := app.New(cfg, versionText(), log.Logger)
	if err != nil {
		return err
	}
	server.Level = log.level
	return server.Run(ctx)
}
