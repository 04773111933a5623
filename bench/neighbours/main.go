// Command neighbours measures how fast fettle takes line protocol, beside a real
// InfluxDB 2.7 in the same run, how fast it mirrors its readings into one, and how
// long moving in from one takes.
// It asserts nothing; it prints the processor, the load, and ratios.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fettle/internal/process"
)

const (
	rounds     = 3     // of ours and InfluxDB's in turns; medians are printed
	batchLines = 5_000 // of one request
	batches    = 60    // of one round
	mirrorRows = 600_000

	migrateDays = 30 // of three machines, a reading every two seconds
)

func main() {
	binary := flag.String("fettle", "bin/fettle", "the built, stripped program")
	part := flag.String("part", "", "only lines, mirror or migrate")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *binary, *part); err != nil {
		fmt.Fprintln(os.Stderr, "neighbours:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, part string) error {
	// Beside the binary, because a temporary folder is often no disk at all, and
	// then a synced commit would cost nothing.
	beside, err := filepath.Abs(filepath.Dir(binary))
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(beside, "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	b := &bench{binary: binary, folder: folder, next: time.Now().Add(-10 * 24 * time.Hour)}
	if err := os.MkdirAll(filepath.Join(folder, "influxd"), 0o700); err != nil {
		return err
	}
	if b.influxd, err = process.NewInfluxd(ctx, "scripts/peers/influxd.sh", filepath.Join(folder, "influxd"), "bench"); err != nil {
		return err
	}
	defer b.influxd.Kill()
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s, %d cores, %s; peer: influxd 2.7.12; medians of %d interleaved rounds; load average before: %s\n",
		process.Processor(), runtime.NumCPU(), runtime.Version(), rounds, strings.TrimSpace(string(load)))
	fmt.Printf("rows of 6 sensors; line protocol in batches of %d, not packed\n\n%-62s %12s %14s\n", batchLines, "", "measured", "goal")
	for _, measured := range []struct {
		part string
		do   func(context.Context) error
	}{
		{"lines", func(ctx context.Context) error { return b.lines(ctx, 1) }},
		{"lines", func(ctx context.Context) error { return b.lines(ctx, 4) }},
		{"mirror", b.mirror},
		{"migrate", b.migrate},
	} {
		if part != "" && part != measured.part {
			continue
		}
		if err := measured.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// A bench is one run, whose readings go on from one measurement to the next.
type bench struct {
	binary, folder string
	influxd        *process.Influxd
	next           time.Time // of the readings to come
}

// lines writes to both in turns.
func (b *bench) lines(ctx context.Context, clients int) error {
	server, err := process.Start(ctx, b.binary, filepath.Join(b.folder, fmt.Sprint("lines-", clients)))
	if err != nil {
		return err
	}
	defer server.Stop()
	var ours, theirs []float64
	for range rounds {
		bodies := b.bodies(batches)
		for _, to := range []struct {
			url, token string
			into       *[]float64
		}{
			{"http://" + server.HTTP + "/api/v2/write?org=o&bucket=bench&precision=us", "", &ours},
			{b.influxd.URL + "/api/v2/write?org=" + b.influxd.Org + "&bucket=bench&precision=us", b.influxd.Token, &theirs},
		} {
			began := time.Now()
			if err := write(ctx, to.url, to.token, bodies, clients); err != nil {
				return err
			}
			*to.into = append(*to.into, float64(len(bodies)*batchLines)/time.Since(began).Seconds())
		}
	}
	what := fmt.Sprintf("line protocol, %d connections", clients)
	row(what+": fettle, on disk when answered", "%.0f rows/s", median(ours), ">= 100,000")
	row("  influxd", "%.0f rows/s", median(theirs), "")
	row("  ratio", "%.2f", median(ours)/median(theirs), "")
	return nil
}

// bodies makes requests of three machines, each reading once.
func (b *bench) bodies(n int) [][]byte {
	bodies := make([][]byte, n)
	tick := 0
	for i := range bodies {
		var body bytes.Buffer
		for line := range batchLines {
			fmt.Fprintf(&body, "sensor_data,workspace_id=machine-%d,sensor_type=industrial current=%.2f,accX=%.4f,accY=%.4f,accZ=%.4f,tempA=%.2f,tempB=%.2f %d\n",
				line%3, 10+float64(tick%1500)/100, float64(tick%999)/1e3, float64(tick%777)/1e3, 1+float64(tick%555)/1e3, 55+float64(tick%2500)/100, 55+float64(tick%2300)/100, b.next.UnixMicro())
			tick++
			b.next = b.next.Add(100 * time.Millisecond)
		}
		bodies[i] = body.Bytes()
	}
	return bodies
}

// write sends bodies over so many connections.
func write(ctx context.Context, url, token string, bodies [][]byte, clients int) error {
	work := make(chan []byte, len(bodies))
	for _, body := range bodies {
		work <- body
	}
	close(work)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var senders errgroup.Group
	for range clients {
		senders.Go(func() error {
			for body := range work {
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
				if err != nil {
					return err
				}
				if token != "" {
					request.Header.Set("Authorization", "Token "+token)
				}
				response, err := client.Do(request)
				if err != nil {
					return err
				}
				if response.Body.Close(); response.StatusCode != http.StatusNoContent {
					return fmt.Errorf("%s: %s", url, response.Status)
				}
			}
			return nil
		})
	}
	return senders.Wait()
}

// mirror has a server catch up with an InfluxDB that has nothing yet, and then
// keep up with readings that come in as fast as they can.
func (b *bench) mirror(ctx context.Context) error {
	folder := filepath.Join(b.folder, "mirror")
	server, err := process.Start(ctx, b.binary, folder)
	if err != nil {
		return err
	}
	bodies := b.bodies(mirrorRows / batchLines)
	if err := write(ctx, "http://"+server.HTTP+"/api/v2/write?precision=us", "", bodies, 1); err != nil {
		return err
	}
	server.Stop()
	settings := filepath.Join(b.folder, "mirror.yaml")
	text := fmt.Sprintf("influx: {mirror: {url: %q, org: %q, token: %q, bucket: mirrored, anomalies: ''}}\n", b.influxd.URL, b.influxd.Org, b.influxd.Token)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return err
	}
	if server, err = process.Start(ctx, b.binary, folder, "serve", "-c", settings); err != nil {
		return err
	}
	defer server.Stop()
	began := time.Now()
	if err := mirrored(ctx, server, mirrorRows); err != nil {
		return err
	}
	row("mirror, catching up", "%.0f rows/s", mirrorRows/time.Since(began).Seconds(), ">= 20,000")

	bodies = b.bodies(mirrorRows / 2 / batchLines)
	began = time.Now()
	if err := write(ctx, "http://"+server.HTTP+"/api/v2/write?precision=us", "", bodies, 1); err != nil {
		return err
	}
	written := time.Since(began)
	if err := mirrored(ctx, server, mirrorRows*3/2); err != nil {
		return err
	}
	row("ingest beside the mirror", "%.0f rows/s", mirrorRows/2/written.Seconds(), "")
	row("  mirrored to the last, beside that ingest", "%.0f rows/s", mirrorRows/2/time.Since(began).Seconds(), ">= 20,000")
	return nil
}

// mirrored waits until InfluxDB has so many rows of a server.
func mirrored(ctx context.Context, server *process.Server, rows int) error {
	return process.WaitFor(ctx, "the mirror", func() (bool, error) {
		response, err := http.Get("http://" + server.HTTP + "/metrics")
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		var text bytes.Buffer
		if _, err := text.ReadFrom(response.Body); err != nil {
			return false, err
		}
		var done float64
		for line := range strings.Lines(text.String()) {
			if value, found := strings.CutPrefix(line, "fettle_influx_mirror_readings_total "); found {
				_, err = fmt.Sscan(value, &done)
			}
		}
		return done >= float64(rows), err
	})
}

func row(what, format string, value float64, goal string) {
	fmt.Printf("%-62s %12s %14s\n", what, fmt.Sprintf(format, value), goal)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
