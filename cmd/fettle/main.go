// Command fettle is the whole program: the server, and the commands that people
// use beside it. Each subcommand is a file of its own here; what they do is in
// the packages below.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // so that --zone works on systems without a time zone database

	"github.com/alecthomas/kong"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/hush"
	"fettle/internal/model"
)

// Exit codes, as --help tells them.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	hush.Over()
	var c cli
	parser := kong.Must(&c, kong.Name("fettle"), kong.Description(description), kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Vars{"default_config": config.DefaultFile, "demo_dir": demoDir, "short_forecaster": fettle.ShortForecaster, "sklearn_version": model.SklearnVersion})
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "fettle: %v\n", err)
		if parsed := new(kong.ParseError); errors.As(err, &parsed) {
			fmt.Fprintf(os.Stderr, "See %s --help\n", commandPath(parsed.Context))
		}
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(parser)
	command.BindTo(os.Stdout, (*io.Writer)(nil))
	if err := command.Run(&c.globals); err != nil {
		if code := exitCode(0); errors.As(err, &code) {
			os.Exit(int(code))
		}
		if c.actsAs != "" && errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (as %s, to whom the data folder belongs)", err, c.actsAs)
		}
		fmt.Fprintf(os.Stderr, "fettle: %v\n", err)
		if wrong := new(usageError); errors.As(err, wrong) {
			fmt.Fprintf(os.Stderr, "See %s --help\n", commandPath(command))
			os.Exit(exitUsage)
		}
		os.Exit(exitFailure)
	}
}
