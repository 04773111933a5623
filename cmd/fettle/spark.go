package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"fettle"
	"fettle/internal/doctor"
	"fettle/internal/spark"
)

type sparkCmd struct {
	Check        sparkCheckCmd `cmd:"" help:"Look a Spark Connect server over, and say what to do."`
	ServeCommand sparkServeCmd `cmd:"" help:"Print the command that starts a Spark Connect server on a standalone cluster."`
}

func (sparkCmd) Help() string {
	return "Models are trained on a Spark cluster through Spark Connect, which Spark has from version 4.0 on. The executors need nothing but Spark: fettle brings its own program along.\n\n" + examples(
		"fettle spark serve-command spark://spark-master:7077   how to start the server, once",
		"fettle spark check sc://spark-master:15002             whether all is well there",
	)
}

type sparkServeCmd struct {
	Master string   `arg:"" help:"Address of the standalone master, as its web page has it on top: spark://host:7077."`
	Port   int      `default:"15002" help:"Where the server is to listen."`
	Listen string   `placeholder:"ADDRESS" help:"At which of its addresses. Default: all."`
	Memory string   `default:"1g" help:"Memory of the server itself."`
	Conf   []string `sep:"none" placeholder:"NAME=VALUE" help:"A setting of Spark, such as spark.executor.memory=2g. May be repeated."`
}

func (sparkServeCmd) Help() string {
	return "Prints a command for a shell on a computer that has Spark 4 and that the workers can reach; it starts nothing itself. " +
		"What it prints is all comments but for that one command.\n\n" + examples(
		"fettle spark serve-command spark://spark-master:7077",
		"fettle spark serve-command spark://spark-master:7077 --conf spark.executor.memory=2g --conf spark.cores.max=8",
	)
}

func (c *sparkServeCmd) Run(out io.Writer) error {
	if err := spark.CheckMaster(c.Master); err != nil {
		return usage(err)
	}
	if c.Port < 1 || c.Port > 65535 {
		return usage(fettle.BadField("bad port", "--port", fmt.Sprint(c.Port), "1 to 65535"))
	}
	for _, conf := range c.Conf {
		if _, _, err := readConf(conf); err != nil {
			return usage(err)
		}
	}
	command := spark.ServeCommand{Master: c.Master, Address: c.Listen, Port: c.Port, Memory: c.Memory, Confs: c.Conf}
	host := "HOST"
	if c.Listen != "" {
		host = c.Listen
	}
	_, err := fmt.Fprintf(out, `# Starts a Spark Connect server on the cluster of %s.
# Run it on a computer that has Spark 4 ($SPARK_HOME) and that the workers can reach.
# $TOKEN is a secret of your choice (openssl rand -hex 32 makes one): whoever has it
# can run commands on the executors. The server speaks no TLS: beyond a network that
# you trust, put a proxy that does in front of it.
%s
# Then, from where fettle runs, with that secret in SPARK_CONNECT_AUTHENTICATE_TOKEN:
#   fettle spark check sc://%s:%d
`, c.Master, command, host, c.Port)
	return err
}

// readConf reads one --conf.
func readConf(text string) (name, value string, err error) {
	name, value, found := strings.Cut(text, "=")
	if !found || strings.TrimSpace(name) != name || name == "" || strings.ContainsAny(text, "\r\n") {
		return "", "", fettle.BadField("bad setting", "--conf", text, "NAME=VALUE, such as spark.executor.memory=2g")
	}
	return name, value, nil
}

type sparkCheckCmd struct {
	URL       string   `arg:"" help:"Address of the server: sc://host:15002, with ;use_ssl=true behind it for TLS."`
	Token     string   `env:"SPARK_CONNECT_AUTHENTICATE_TOKEN" hidden:"" help:"Secret of the server; in the environment, since arguments are seen by everybody."`
	TokenFile string   `type:"existingfile" placeholder:"FILE" help:"File with the server's secret. Default: the variable SPARK_CONNECT_AUTHENTICATE_TOKEN."`
	CAFile    string   `name:"ca-file" type:"existingfile" placeholder:"FILE" help:"Certificates (PEM) that the server's is signed by. Default: the system's."`
	Conf      []string `sep:"none" placeholder:"NAME=VALUE" help:"A setting of the session. May be repeated."`
	Binary    string   `type:"existingfile" placeholder:"FILE" help:"The fettle that is to run on the executors, for Linux. Default: this one."`
	JSON      bool     `help:"Print JSON."`
}

func (sparkCheckCmd) Help() string {
	return "Opens a session, runs small statements and this program on the executors, and closes the session again. Up to a minute goes by until a cluster at rest has started executors.\n\n" +
		"Examples:\n\n    fettle spark check sc://spark-master:15002\n    fettle spark check 'sc://spark.example.com:443/;use_ssl=true' --token-file token\n    fettle spark check sc://spark-master:15002 --json\n\n" +
		"Exit codes: 0 all is well, 1 there are warnings, 2 there are errors (or wrong usage)."
}

func (c *sparkCheckCmd) Run(ctx context.Context, out io.Writer) error {
	config := spark.Config{URL: c.URL, Token: c.Token, CAFile: c.CAFile, Confs: map[string]string{}, Binary: c.binary()}
	if c.TokenFile != "" {
		text, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return err
		}
		config.Token = strings.TrimSpace(string(text))
	}
	for _, conf := range c.Conf {
		name, value, err := readConf(conf)
		if err != nil {
			return usage(err)
		}
		config.Confs[name] = value
	}
	if isTerminal(os.Stderr) {
		note("Looking; a cluster at rest takes up to a minute to start executors.")
	}
	findings, err := spark.Check(ctx, config)
	if err != nil {
		return err
	}
	var report doctor.Report
	for _, f := range findings {
		report = append(report, doctor.Finding{Check: f.Check, State: doctor.State(f.State), Says: f.Says, Do: f.Do})
	}
	if config.Binary == nil {
		report = append(report, doctor.Finding{Check: "program", State: doctor.Warning, Says: "this fettle is for " + runtime.GOOS + ", and executors run Linux", Do: "name a fettle for Linux with --binary"})
	}
	return printReport(out, report, c.JSON)
}

// binary opens what is to run on the executors; nil where this program cannot.
func (c *sparkCheckCmd) binary() func() (io.ReadCloser, int64, error) {
	path := c.Binary
	if path == "" && runtime.GOOS != "linux" {
		return nil
	}
	return func() (io.ReadCloser, int64, error) {
		if path == "" {
			own, err := os.Executable()
			if err != nil {
				return nil, 0, fmt.Errorf("find this program: %w", err)
			}
			path = own
		}
		file, err := os.Open(filepath.Clean(path))
		if err != nil {
			return nil, 0, err
		}
		info, err := file.Stat()
		if err != nil {
			_ = file.Close() // only read
			return nil, 0, err
		}
		return file, info.Size(), nil
	}
}
