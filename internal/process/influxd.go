package process

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
)

// An Influxd is a real InfluxDB 2.7 over a folder, which outlives its process.
type Influxd struct {
	URL, Org, Token string

	binary, folder, address string
	process                 *exec.Cmd
	log                     locked
}

// NewInfluxd starts the influxd that script builds, or has built, over an empty
// folder, and sets it up with a bucket of the old system.
func NewInfluxd(ctx context.Context, script, folder, bucket string) (*Influxd, error) {
	out, err := exec.CommandContext(ctx, script).Output()
	if err != nil {
		return nil, fmt.Errorf("build influxd with %s: %w", script, err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	i := &Influxd{
		URL: "http://" + address, Org: "Ruhuna_Eng", Token: "token-of-a-test",
		binary: strings.TrimSpace(string(out)), folder: folder, address: address,
	}
	if err := i.Start(ctx); err != nil {
		return nil, err
	}
	setup := map[string]any{"username": "test", "password": "test-password", "org": i.Org, "bucket": bucket, "token": i.Token}
	body, err := json.Marshal(setup)
	if err != nil {
		return nil, err
	}
	response, err := http.Post(i.URL+"/api/v2/setup", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		return nil, fmt.Errorf("set influxd up: %s", response.Status)
	}
	return i, nil
}

// Start runs influxd, again after a Kill, and waits until it answers.
func (i *Influxd) Start(ctx context.Context) error {
	i.process = exec.CommandContext(ctx, i.binary, "--reporting-disabled", "--log-level", "error", "--http-bind-address", i.address,
		"--bolt-path", filepath.Join(i.folder, "influxd.bolt"), "--engine-path", filepath.Join(i.folder, "engine"), "--sqlite-path", filepath.Join(i.folder, "influxd.sqlite"))
	i.process.Stdout, i.process.Stderr = &i.log, &i.log
	if err := i.process.Start(); err != nil {
		return fmt.Errorf("start influxd: %w", err)
	}
	return WaitFor(ctx, "influxd to answer", func() (bool, error) {
		response, err := http.Get(i.URL + "/health")
		if err != nil {
			return false, nil
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
}

// Kill ends influxd as kill -9 does, and waits.
func (i *Influxd) Kill() {
	_ = i.process.Process.Kill() // it may be gone already
	_ = i.process.Wait()         // how it ended is of no interest
}

// Log is what influxd has written so far.
func (i *Influxd) Log() string { return i.log.String() }
