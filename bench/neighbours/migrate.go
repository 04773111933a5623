package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// migrate takes over a month of the old system's plant out of InfluxDB.
func (b *bench) migrate(ctx context.Context) error {
	const rows = migrateDays * 24 * 3600 / 2 * 3
	began := time.Now()
	if err := b.month(ctx); err != nil {
		return err
	}
	fmt.Printf("(a month of readings is in InfluxDB after %s)\n", time.Since(began).Round(time.Second))
	token := filepath.Join(b.folder, "token")
	if err := os.WriteFile(token, []byte(b.influxd.Token), 0o600); err != nil {
		return err
	}
	began = time.Now()
	command := exec.CommandContext(ctx, b.binary, "migrate", "--influx", b.influxd.URL, "--token-file", token, "--bucket", "bench", "--measurement", "month", "--json",
		"--data", filepath.Join(b.folder, "moved"))
	command.Stderr = os.Stderr
	out, err := command.Output()
	took := time.Since(began)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	var said struct {
		Stored  int64
		Sensors []struct{ Verdict string }
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return err
	}
	for _, s := range said.Sensors {
		if s.Verdict != "same" {
			return fmt.Errorf("migrate: a sensor is %q", s.Verdict)
		}
	}
	if said.Stored != rows || len(said.Sensors) != 18 {
		return fmt.Errorf("migrate: %d readings of %d, %d sensors of 18", said.Stored, rows, len(said.Sensors))
	}
	row(fmt.Sprintf("moving in: %d days, 3 machines, 6 sensors, compared", migrateDays), "%.0f s", took.Seconds(), "<= 120")
	row("  that is", "%.0f rows/s", float64(rows)/took.Seconds(), "")
	row("  processor time, without InfluxDB's", "%.0f s", (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds(), "")
	row("  memory at its peak", "%.0f MB", peakMB(command), "")
	return b.leave(ctx, rows)
}

// leave writes all of it out again.
func (b *bench) leave(ctx context.Context, rows int) error {
	for _, format := range []string{"parquet", "csv", "line"} {
		command := exec.CommandContext(ctx, b.binary, "export", "--format", format, "-o", filepath.Join(b.folder, "left-"+format), "--data", filepath.Join(b.folder, "moved"))
		began := time.Now()
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("export: %w\n%s", err, out)
		}
		row("leaving: the same as "+format, "%.0f rows/s", float64(rows)/time.Since(began).Seconds(), "")
		row("  memory at its peak", "%.0f MB", peakMB(command), "")
	}
	return nil
}

// month fills InfluxDB with a month of three machines.
func (b *bench) month(ctx context.Context) error {
	const step = 2 * time.Second
	at := time.Now().Add(-migrateDays * 24 * time.Hour).Truncate(time.Second)
	url := b.influxd.URL + "/api/v2/write?org=" + b.influxd.Org + "&bucket=bench&precision=us"
	for tick := 0; tick < migrateDays*24*3600/2; {
		var bodies [][]byte
		for range 24 {
			var body strings.Builder
			for ; body.Len() < 1<<20 && tick < migrateDays*24*3600/2; tick++ {
				for machine := range 3 {
					fmt.Fprintf(&body, "month,workspace_id=machine-%d,sensor_type=industrial current=%.2f,accX=%.4f,accY=%.4f,accZ=%.4f,tempA=%.2f,tempB=%.2f %d\n",
						machine, 10+float64(tick%1500)/100, float64(tick%999)/1e3, float64(tick%777)/1e3, 1+float64(tick%555)/1e3, 55+float64(tick%2500)/100, 55+float64(tick%2300)/100,
						at.Add(time.Duration(tick)*step).UnixMicro())
				}
			}
			bodies = append(bodies, []byte(body.String()))
		}
		if err := write(ctx, url, b.influxd.Token, bodies, 2); err != nil {
			return err
		}
	}
	return nil
}
