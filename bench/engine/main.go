// Command engine measures the PatchTST engine beside PyTorch in all its modes
// and ONNX Runtime, on this machine and in one run. A temporary folder of
// untrained models and a made-up series go in; a table goes out, with the
// processor, its measured peak and every version.
//
// Every contender is a process of its own, ours too, that gets ready, compiles
// and warms up first, and then works in turns with all others, so that a
// machine that slows down slows all of them. Same weights, same batch, same
// optimizer, nothing clipped; whoever's losses on the first three steps are not
// ours is left out and named. Medians of the turns decide. PyTorch computes
// HuggingFace's own class, with a fused AdamW and malloc's thresholds raised,
// which is its fastest way. All of its modes are tried on one bout; on the
// others, the fastest of these.
//
// It needs Python, gcc and g++; what it installs lies in a cache outside of the
// tree. Run it alone on the machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"
)

func main() {
	quick := flag.Bool("quick", false, "one bout with three of PyTorch's modes and the forecast: shows that all of it works")
	budget := flag.Duration("budget", 15*time.Minute, "start no further bout after this time")
	serving := flag.Bool("serve", false, "be our side of the bench: requests on standard input")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := error(nil)
	if *serving {
		err = serve(os.Stdin, os.Stdout)
	} else {
		err = run(ctx, *quick, time.Now().Add(*budget))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "engine: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, quick bool, deadline time.Time) error {
	dir, err := os.MkdirTemp("", "fettle-engine-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		return err
	}
	if err := tellMachine(ctx); err != nil {
		return err
	}
	results := &results{}
	if results.products, err = measureProducts(ctx); err != nil {
		return err
	}
	tellProducts(results.products)
	for _, next := range plan(quick) {
		b := next(results)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			fmt.Printf("\n%s: left out, the time is over\n", b.title)
			continue
		}
		b.run(ctx, dir)
		tellBout(b)
		results.bouts = append(results.bouts, b)
	}
	tellSummary(results)
	return nil
}

// plan lists the bouts, each made when those before are over.
func plan(quick bool) []func(*results) *bout {
	forecast := func(*results) *bout {
		return &bout{title: "one forecast, deployed config", do: "forecast", config: "deployed", threads: 1, turn: 200 * time.Millisecond, turns: 9,
			contenders: []*contender{
				{name: "fettle, 1 thread", ours: true, mode: mode{Threads: 1}},
				{name: "ONNX Runtime, 1 thread", mode: mode{Threads: 1}},
				{name: "ONNX Runtime, 2 threads", mode: mode{Threads: 2}},
			}}
	}
	if quick {
		return []func(*results) *bout{forecast, func(*results) *bout {
			modes := []string{"torch f32 (eager, sdpa attention)", "torch f32 (eager, plain attention)", "torch bf16 (compile, plain attention)"}
			return training("deployed", 32, 2, again(modes, 2))
		}}
	}
	finalists := func(config string, batch, threads int) func(*results) *bout {
		return func(r *results) *bout { return training(config, batch, threads, again(r.finalists(), threads)) }
	}
	return []func(*results) *bout{
		func(*results) *bout { return training("deployed", 32, 2, everyMode(2)) },
		forecast,
		finalists("deployed", 8, 2), finalists("deployed", 128, 2), finalists("dropout", 32, 2),
		func(*results) *bout { return training("research", 16, 2, longModes(2)) },
		finalists("deployed", 32, 1),
	}
}

// training is a bout of training, our two modes first.
func training(config string, batch, threads int, peers []*contender) *bout {
	name := map[string]string{"dropout": "deployed config with dropout 0.1 at every site"}[config]
	if name == "" {
		name = config + " config"
	}
	b := &bout{
		title: fmt.Sprintf("training, %s, batch %d, %d thread(s)", name, batch, threads), do: "train",
		config: config, batch: batch, threads: threads, noise: config == "dropout",
		turn: 400 * time.Millisecond, turns: 9, contenders: append(ours(threads), peers...),
	}
	if config == "research" {
		b.turn, b.turns = time.Second, 5
	}
	return b
}

// finalists are the fastest of PyTorch's modes in float32 and in bfloat16, by
// the first bout, and the fastest of those that compute in another way.
func (r *results) finalists() []string {
	var names []string
	if len(r.bouts) == 0 {
		return nil
	}
	for _, bf16 := range []bool{false, true} {
		first := fastest(r.bouts[0].contenders, func(c *contender) bool { return !c.ours && c.mode.BF16 == bf16 })
		if first == nil {
			continue
		}
		names = append(names, first.name)
		second := fastest(r.bouts[0].contenders, func(c *contender) bool {
			other := c.mode.Compile != first.mode.Compile || c.mode.Attention != first.mode.Attention
			return !c.ours && c.mode.BF16 == bf16 && other
		})
		if second != nil {
			names = append(names, second.name)
		}
	}
	return names
}

// longModes are those that could be the fastest on long contexts, where
// attention weighs more.
func longModes(threads int) []*contender {
	return slices.DeleteFunc(everyMode(threads), func(c *contender) bool {
		return c.mode.CPP || !c.mode.Compile && c.mode.Attention == "eager"
	})
}
