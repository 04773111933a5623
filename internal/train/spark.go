package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"runtime"

	"fettle"
	"fettle/internal/spark"
)

// SparkConnect gets at clusters by their Connect servers.
type SparkConnect struct {
	URL    string // the configured one; "": none
	Token  string // for that one only
	CAFile string
	Confs  map[string]string // of every session
	Binary string            // the worker's program; "": this one
	Log    *slog.Logger
}

// Name is an address without its parameters.
func (SparkConnect) Name(url string) (string, error) { return spark.Address(url) }

// config is a place's. The configured token goes to the configured address only:
// who may name another one need not know it.
func (c SparkConnect) config(p Place) spark.Config {
	confs := maps.Clone(c.Confs)
	if confs == nil {
		confs = map[string]string{}
	}
	maps.Copy(confs, p.Confs)
	s := spark.Config{URL: cmp.Or(p.URL, c.URL), CAFile: c.CAFile, Confs: confs, Log: c.Log, Binary: c.worker}
	own, _ := c.Name(s.URL)
	if ours, err := c.Name(c.URL); err == nil && own == ours {
		s.Token = c.Token
	}
	return s
}

// workerName is what the worker's program is called where it runs.
const workerName = "fettle"

// Dial opens a session and sends the worker's program there.
func (c SparkConnect) Dial(ctx context.Context, p Place) (Session, error) {
	config := c.config(p)
	if config.URL == "" {
		return nil, fettle.BadField("no cluster", "training.spark.url", "", "the address of a Connect server, such as sc://host:15002")
	}
	program, size, err := c.worker()
	if err != nil {
		return nil, err
	}
	defer program.Close()
	s, err := spark.Dial(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := s.Upload(ctx, workerName, program, size); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return sparkSession{s}, nil
}

// Resume takes up a session that an earlier server has left.
func (c SparkConnect) Resume(ctx context.Context, p Place, id string) (Session, error) {
	s, err := spark.Resume(ctx, c.config(p), id)
	if err != nil {
		return nil, err
	}
	return sparkSession{s}, nil
}

// worker opens the program that executors run.
func (c SparkConnect) worker() (io.ReadCloser, int64, error) {
	path := c.Binary
	if path == "" {
		if runtime.GOOS != "linux" {
			return nil, 0, fettle.BadField("no worker", "training.spark.binary", "", "the path of a Linux build of fettle for the cluster's computers: this one is for "+runtime.GOOS)
		}
		path = "/proc/self/exe" // also when another has taken the place of its file
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("open the worker's program: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// A sparkSession runs jobs in a session of Spark.
type sparkSession struct{ *spark.Session }

func (s sparkSession) Start(ctx context.Context, operation, line string) (Operation, error) {
	op, err := s.Session.Start(ctx, operation, spark.Transform(s.Path(workerName)+" train-worker"), line)
	if err != nil {
		return nil, err
	}
	return sparkOperation{op}, nil
}

func (s sparkSession) Reattach(ctx context.Context, operation string) (Operation, error) {
	op, err := s.Session.Reattach(ctx, operation)
	if err != nil {
		return nil, err
	}
	return sparkOperation{op}, nil
}

// A sparkOperation is a statement that gives one row.
type sparkOperation struct{ *spark.Operation }

func (o sparkOperation) Result(ctx context.Context) (string, error) {
	rows, err := o.Operation.Result(ctx, nil)
	switch {
	case err != nil:
		return "", err
	case len(rows) != 1:
		return "", &lostError{reason: fmt.Sprintf("the worker answered %d lines; expected one", len(rows)), advice: "see the executor's log in Spark's pages; then train again"}
	default:
		return rows[0], nil
	}
}
