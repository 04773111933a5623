package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"time"

	"fettle"
	"fettle/internal/process"
)

// A server is the running fettle, asked as an old client would: with curl.
type server struct{ *process.Server }

func (s *server) curl(ctx context.Context, path string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "curl", "--silent", "--show-error", "--fail-with-body", "http://"+s.HTTP+path)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("curl %s: %w: %s", path, err, out)
	}
	return out, nil
}

func (s *server) get(ctx context.Context, path string, into any) error {
	out, err := s.curl(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("curl %s: %w: %s", path, err, out)
	}
	return nil
}

// judged waits until all readings of a machine but the newest, to which a second
// message could still add, have their verdicts.
func (s *server) judged(ctx context.Context, machine string) (fettle.Machine, error) {
	var m fettle.Machine
	err := process.WaitFor(ctx, "all readings of "+machine+" to be judged", func() (bool, error) {
		path := "/api/v1/machines/" + url.PathEscape(machine)
		var newest struct{ Times []time.Time }
		if err := s.get(ctx, path+"/readings?last=2", &newest); err != nil {
			return false, err
		}
		verdicts, err := s.verdicts(ctx, machine, "?last=2")
		if err != nil || len(verdicts) == 0 || verdicts[len(verdicts)-1].Time.Before(newest.Times[0]) {
			return false, err
		}
		return true, s.get(ctx, path, &m)
	})
	return m, err
}

func (s *server) verdicts(ctx context.Context, machine, query string) ([]fettle.Verdict, error) {
	var body struct{ Verdicts []fettle.Verdict }
	err := s.get(ctx, "/api/v1/machines/"+url.PathEscape(machine)+"/verdicts"+query, &body)
	return body.Verdicts, err
}

// alarms are a machine's, in the order in which they were raised.
func (s *server) alarms(ctx context.Context, machine string) ([]fettle.Alarm, error) {
	var body struct{ Alarms []fettle.Alarm }
	if err := s.get(ctx, "/api/v1/alarms?state=all&limit=1000&machine="+url.QueryEscape(machine), &body); err != nil {
		return nil, err
	}
	slices.Reverse(body.Alarms)
	return body.Alarms, nil
}
