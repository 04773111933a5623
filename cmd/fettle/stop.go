package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"fettle"
	"fettle/internal/db"
)

type stopCmd struct {
	Within time.Duration `default:"30s" help:"How long to wait until it is gone."`
}

func (stopCmd) Help() string {
	return "Asks the server that holds the data folder to end, as Ctrl-C would, and waits until the folder is free.\n\n" + examples(
		"fettle stop",
		"fettle stop --within 2m",
	)
}

// lookAgain is the time between two looks at what ends.
const lookAgain = 50 * time.Millisecond

// Run ends the server.
func (c *stopCmd) Run(ctx context.Context, g *globals) error {
	if c.Within <= 0 {
		return usage(fmt.Errorf("--within is %v; expected a duration such as 30s", c.Within))
	}
	cfg, err := g.config()
	if err != nil {
		return err
	}
	server, err := findServer(ctx, cfg.Data.Dir)
	if fettle.KindOf(err) == fettle.NotFound {
		return fettle.Errorf(fettle.NotFound, "no server runs on %s: %w; --data or FETTLE_DATA_DIR name another folder%s", cfg.Data.Dir, err, demoHere(cfg.Data.Dir))
	}
	if err != nil {
		return err
	}
	if err := server.call(ctx, http.MethodPost, "/api/v1/stop", nil, nil); err != nil {
		return err
	}
	for end := time.Now().Add(c.Within); ; sleepUntil(ctx, time.Now().Add(lookAgain)) {
		held, err := db.Held(cfg.Data.Store())
		switch {
		case err != nil:
			return err
		case !held:
			note("fettle (pid %d) has stopped.", server.note.PID)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fettle.Errorf(fettle.Unavailable, "the server (pid %d) was asked to stop and is still there after %v; `fettle logs` may say why, and ending process %d loses nothing that was acknowledged",
				server.note.PID, c.Within, server.note.PID)
		}
	}
}
