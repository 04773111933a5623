package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fettle/internal/child"
	"fettle/internal/spark"
)

// A Spark is a real standalone cluster on loopback: a master, workers of one
// core each, and a Connect server, started as `fettle spark serve-command` says.
// Its processes end with the context that it was started with, and with the
// process that started it.
type Spark struct {
	URL    string // of the Connect server, without a token: sc://127.0.0.1:port
	Master string // spark://127.0.0.1:port
	Folder string // scratch: work, temporary files

	home, token string
	settings    []string
	connect     *java
	workers     []*java
	processes   []*java
}

// SparkOptions say what a cluster is like.
type SparkOptions struct {
	Workers  int
	Token    string   // that the Connect server asks for; "" is none
	Settings []string // more of Spark's, as name=value; these win
}

// StartSpark starts a cluster of the Spark that script fetches, or has fetched,
// and waits until its Connect server listens. Call Stop.
func StartSpark(ctx context.Context, script, folder string, o SparkOptions) (*Spark, error) {
	out, err := exec.CommandContext(ctx, script).Output()
	if err != nil {
		return nil, fmt.Errorf("fetch Spark with %s: %w", script, err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &Spark{Master: "spark://" + address, Folder: folder, home: strings.TrimSpace(string(out)), token: o.Token, settings: o.Settings}
	if err := errors.Join(os.MkdirAll(filepath.Join(folder, "tmp"), 0o700), os.MkdirAll(filepath.Join(folder, "conf"), 0o700)); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	master := s.run("master", "bin/spark-class", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", port, "--webui-port", "0")
	if err := master.listens(ctx, address); err != nil {
		s.Stop()
		return nil, err
	}
	for range o.Workers {
		s.AddWorker()
	}
	if err := s.StartConnect(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// AddWorker starts one more worker.
func (s *Spark) AddWorker() {
	name := fmt.Sprintf("worker%d", len(s.workers))
	s.workers = append(s.workers, s.run(name, "bin/spark-class", "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0",
		"--cores", "1", "--memory", "2g", "--work-dir", filepath.Join(s.Folder, name), s.Master))
}

// StartConnect starts the Connect server, again after KillConnect, at the same
// address.
func (s *Spark) StartConnect(ctx context.Context) error {
	address := strings.TrimPrefix(s.URL, "sc://")
	if address == "" {
		var err error
		if address, err = freeAddress(); err != nil {
			return err
		}
		s.URL = "sc://" + address
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	command := spark.ServeCommand{
		Master: s.Master, Address: "127.0.0.1", Port: number, Memory: "1g",
		Confs: append([]string{"spark.ui.port=0", "spark.driver.extraJavaOptions=-Djava.io.tmpdir=" + filepath.Join(s.Folder, "tmp")}, s.settings...),
	}
	s.connect = s.run("connect", "bin/spark-submit", command.Args()...)
	return s.connect.listens(ctx, address)
}

// KillWorker ends a worker as kill -9 does, with its executors and what they
// have started: as if its machine had gone. Workers are numbered from 0.
func (s *Spark) KillWorker(number int) { s.workers[number].kill() }

// KillConnect ends the Connect server as kill -9 does.
func (s *Spark) KillConnect() { s.connect.kill() }

// ConnectPID is the process of the Connect server.
func (s *Spark) ConnectPID() int { return s.connect.pid }

// WorkerFolder is where a worker keeps its executors' folders.
func (s *Spark) WorkerFolder(number int) string {
	return filepath.Join(s.Folder, fmt.Sprintf("worker%d", number))
}

// Log is what all of them have written so far.
func (s *Spark) Log() string {
	var text strings.Builder
	for _, p := range s.processes {
		fmt.Fprintf(&text, "--- %s\n%s\n", p.name, p.log.String())
	}
	return text.String()
}

// Stop ends all of them, waits, and takes the folder away.
func (s *Spark) Stop() {
	for _, p := range s.processes {
		p.kill()
	}
	// Executors that are being killed may write for a moment more.
	_ = waitFor(context.Background(), time.Minute, "", func() (bool, error) { return os.RemoveAll(s.Folder) == nil, nil }) // then it stays
}

// A java is one of the cluster's processes.
type java struct {
	name  string
	pid   int
	log   locked
	end   context.CancelFunc
	ended chan struct{}
	err   error // how it ended, once it has
}

// run starts one of Spark's programs, with little memory and nothing of what
// this process's environment says of Spark.
func (s *Spark) run(name, program string, args ...string) *java {
	ctx, end := context.WithCancel(context.Background())
	p := &java{name: name, end: end, ended: make(chan struct{})}
	cmd := exec.Command(filepath.Join(s.home, program), args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SPARK_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "SPARK_HOME="+s.home, "SPARK_LOCAL_IP=127.0.0.1", "SPARK_NO_DAEMONIZE=1",
		"SPARK_CONF_DIR="+filepath.Join(s.Folder, "conf"), "SPARK_LOCAL_DIRS="+filepath.Join(s.Folder, "tmp"))
	if name == "connect" {
		if s.token != "" {
			cmd.Env = append(cmd.Env, "SPARK_CONNECT_AUTHENTICATE_TOKEN="+s.token)
		}
	} else {
		cmd.Env = append(cmd.Env, "SPARK_DAEMON_MEMORY=256m")
	}
	cmd.Dir = s.Folder
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	started := make(chan struct{})
	go func() {
		defer close(p.ended)
		p.err = child.Run(ctx, cmd, 0, func(pid int) { p.pid = pid; close(started) })
	}()
	select {
	case <-started:
	case <-p.ended:
	}
	s.processes = append(s.processes, p)
	return p
}

// sparkStartsWithin is long: three Javas that start at a time take half a minute
// on two free cores.
const sparkStartsWithin = 10 * time.Minute

// listens waits until somebody takes connections at an address.
func (p *java) listens(ctx context.Context, address string) error {
	return waitFor(ctx, sparkStartsWithin, "Spark's "+p.name+" to listen", func() (bool, error) {
		select {
		case <-p.ended:
			return false, fmt.Errorf("the %s of Spark has ended: %w\n%s", p.name, p.err, p.log.String())
		default:
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

// kill ends the process with all that it has started, and waits.
func (p *java) kill() {
	p.end()
	<-p.ended
}
