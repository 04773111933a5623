package main

import (
	"context"
	"fmt"
	"os"

	"fettle/internal/app"
	"fettle/internal/service"
)

type serveCmd struct {
	Kept bool `hidden:"" help:"Windows has started this as a service."`
}

func (serveCmd) Help() string {
	return examples(
		"fettle serve                         everything on this computer, data in ./fettle-data",
		"fettle serve -c /etc/fettle.yaml     with a configuration file",
		"FETTLE_MQTT_LISTEN=127.0.0.1:1884 fettle serve    another port for the broker",
		"fettle status                        from another terminal: how it is doing",
	)
}

// Run serves until Ctrl-C, SIGTERM, fettle stop, or the end that a service
// manager asks for.
func (c *serveCmd) Run(ctx context.Context, g *globals) error {
	var log serverLog
	defer func() { _ = log.Close() }()
	return service.Run(ctx, c.Kept, func() (service.Program, error) {
		cfg, err := g.config()
		if err != nil {
			return service.Program{}, err
		}
		if log, err = openLog(os.Stderr, cfg); err != nil {
			return service.Program{}, err
		}
		server, err := app.New(cfg, versionText(), log.Logger)
		if err != nil {
			return service.Program{}, err
		}
		server.Level = log.level
		says := func() string {
			at := server.Addresses()
			return fmt.Sprintf("page http://%s, MQTT %s", at.HTTP, at.MQTT)
		}
		return service.Program{Run: server.Run, Ready: server.Ready(), Says: says, Alive: server.Alive, Log: log.Logger}, nil
	})
}
