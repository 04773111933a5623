package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fettle"
	"fettle/internal/plant"
)

type replayCmd struct {
	brokerFlags
	columnFlags
	File    string `arg:"" placeholder:"FILE" help:"Table with a header line and one row a time; the separator (; tab or ,) is found."`
	Machine string `placeholder:"NAME" help:"Machine whose recording it is. Default: the file's name."`
	Speed   speed  `default:"1x" help:"How much faster than it was recorded: 1x, 60x, or max."`
	Times   string `default:"original" enum:"original,shifted" help:"original: as recorded; shifted: so that the last row is sent at its own time, and at 1x every row."`
	JSON    bool   `help:"Print the summary as JSON."`
}

func (replayCmd) Help() string {
	return "Columns in which public data sets mark the faults (anomaly, changepoint) are never published.\n\n" + examples(
		"fettle replay machine_temperature.csv --machine press-3 --speed max",
		"fettle replay valve1.csv --speed 60x --times shifted",
		"fettle replay log.csv --columns 'Current=current,Temperature=tempA' --zone Europe/Berlin",
	)
}

func (c *replayCmd) Run(ctx context.Context, out io.Writer) error {
	file, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("read recording: %w", err)
	}
	defer file.Close()
	o := c.options(cmp.Or(c.Machine, machineOf(c.File)))
	extent, err := plant.Survey(file, o)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.File, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s: %w", c.File, err)
	}
	client, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if c.Times == "shifted" {
		o.Shift = time.Now().Add(c.Speed.of(extent.Length)).Sub(extent.Last).Truncate(time.Second)
	}
	recording, err := plant.Replay(file, o)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.File, err)
	}
	for _, n := range recording.Notes() {
		note("%s", n)
	}
	takes := "as fast as possible"
	if c.Speed > 0 {
		takes = "in " + duration(c.Speed.of(extent.Length).Seconds())
	}
	note("%s: %d rows from %s to %s, %s; %s", o.Machine, extent.Rows, extent.First.Format(time.RFC3339), extent.Last.Format(time.RFC3339),
		takes, strings.Join(recording.Sensors(), ", "))
	summary, err := c.publish(ctx, client, recording, extent.Rows)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("stopped after %d of %d rows", summary.Messages, extent.Rows)
	}
	return errors.Join(summary.print(out, c.JSON), err)
}

// machineOf names a machine after its file: "valve1/0.csv" is "0". What no
// name may hold becomes a dash.
func machineOf(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	name = strings.NewReplacer("/", "-", `\`, "-", "+", "-", "#", "-").Replace(name)
	return name[:min(len(name), fettle.MaxName)]
}

// maxNamed bounds the bad lines that are named one by one.
const maxNamed = 10

// publish sends row after row at the recording's pace.
func (c *replayCmd) publish(ctx context.Context, to publisher, recording *plant.Recording, rows int) (*sent, error) {
	summary := &sent{started: time.Now()}
	progress := newProgress(int64(rows), "rows")
	defer progress.end()
	var played time.Duration
	for ctx.Err() == nil {
		row, err := recording.Next()
		if bad := new(plant.BadLine); errors.As(err, &bad) {
			if summary.BadLines++; summary.BadLines <= maxNamed {
				progress.note("left out: %v", bad)
			}
			continue
		} else if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return summary, fmt.Errorf("read %s: %w", c.File, err)
		}
		played += row.Gap
		sleepUntil(ctx, summary.started.Add(c.Speed.of(played)))
		if ctx.Err() != nil {
			break
		}
		if err := summary.publish(ctx, to, row.Message); err != nil && ctx.Err() == nil {
			return summary, err
		}
		progress.step(1, row.Reading.Time)
	}
	return summary, summary.finish(ctx, to)
}
