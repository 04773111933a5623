// Command story tells the main job on real input, and checks it: a real
// recording of a rig (SKAB), a real year of a machine (NAB) and a real trained
// PatchTST go through one fettle server, by its own commands and by curl, as a
// user would do it. It prints what was caught and when, and the peak memory.
//
// It needs the public data folder ($FETTLE_DATA), a built fettle and curl.
// Nothing of the labels in the data reaches the server; they are read here to
// tell right from wrong.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"fettle/internal/process"
)

func main() {
	binary := flag.String("fettle", "bin/fettle", "the built program")
	data := flag.String("data", os.Getenv("FETTLE_DATA"), "folder with skab, nab, migration and patchtst-goldens")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := tell(ctx, *binary, *data); err != nil {
		fmt.Fprintln(os.Stderr, "story:", err)
		stop()
		os.Exit(1)
	}
}

// tell runs the chapters, one after the other, against one server.
func tell(ctx context.Context, binary, data string) error {
	if data == "" {
		return fmt.Errorf("FETTLE_DATA is not set: name the folder that holds skab, nab, migration and patchtst-goldens")
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	folder, err := os.MkdirTemp("", "fettle-story-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	running, err := process.Start(ctx, binary, filepath.Join(folder, "data"))
	if err != nil {
		return err
	}
	defer running.Stop()
	s := &server{running}
	fmt.Printf("fettle serve is ready after %s (%s, %d cores)\n", s.ReadyAfter.Round(time.Millisecond), process.Processor(), runtime.NumCPU())

	chapters := []struct {
		title string
		tell  func(context.Context, *server, string) error
	}{
		{"SKAB valve1/0: a valve closes on a water rig, 8 sensors at 1 Hz", tellSKAB},
		{"SKAB fault-free: the same rig for two and a half hours, with nothing wrong", tellFaultFree},
		{"NAB machine temperature: three months of a large machine, one reading in 5 minutes", tellNAB},
		{"The old system's model: imported, fed, asked", tellOldModel},
		{"Read back by curl, as an old client would", tellOldClient},
	}
	for _, chapter := range chapters {
		fmt.Printf("\n== %s\n", chapter.title)
		if err := chapter.tell(ctx, s, data); err != nil {
			return fmt.Errorf("%s: %w", chapter.title, err)
		}
	}
	peak, err := s.PeakBytes()
	if err != nil {
		return err
	}
	fmt.Printf("\nPeak memory of the server: %.0f MB resident (goal: at most 100 MB)\n", float64(peak)/1e6)
	return nil
}
