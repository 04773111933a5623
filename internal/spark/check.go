package spark

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"fettle"
)

// A State says how bad a Finding is.
type State string

// The states, the best first.
const (
	OK      State = "ok"
	Warning State = "warning"
	Error   State = "error"
)

// A Finding is one thing that Check has looked at.
type Finding struct {
	Check string `json:"check"` // what was looked at: a stable word, such as server or slots
	State State  `json:"state"`
	Says  string `json:"says"`         // what was seen
	Do    string `json:"do,omitempty"` // what to do about it; empty where nothing is to be done
}

// Check looks a server over as training would use it: it opens a session, runs
// small statements on executors, and closes it again. With nothing better to do
// the cluster needs half a minute, most of it to start executors. The error is
// only that ctx has ended; everything else is a finding.
func Check(ctx context.Context, c Config) ([]Finding, error) {
	e := &examination{config: c}
	s, err := Dial(ctx, c)
	if err != nil {
		e.add("server", Error, err.Error(), adviseDial(err))
		return e.findings, ctx.Err()
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			s.log.Warn("cannot close the session of a check; the server forgets it after an hour", "err", err)
		}
	}()
	e.session = s
	e.add("server", OK, fmt.Sprintf("Spark %s at %s; a session could be opened%s", s.Version(), s.target.address, confsSet(c.Confs)), "")
	e.access()
	for _, look := range []func(context.Context) error{e.settings, e.binary, e.slots} {
		if err := look(ctx); err != nil {
			return e.findings, err
		}
	}
	return e.findings, ctx.Err()
}

// closeWithin is the patience for closing a session when nobody waits for it.
const closeWithin = 10 * time.Second

func confsSet(confs map[string]string) string {
	if len(confs) == 0 {
		return ""
	}
	return fmt.Sprintf(" with %d settings", len(confs))
}

func adviseDial(err error) string {
	switch fettle.KindOf(err) {
	case fettle.Unavailable:
		return "see that the server runs and can be reached from here; `fettle spark serve-command` prints how to start one"
	case fettle.Forbidden, fettle.Invalid, fettle.Conflict:
		return "correct it, and check again"
	}
	return "see the server's log"
}

// An examination is one Check under way.
type examination struct {
	config   Config
	session  *Session
	findings []Finding
	dynamic  bool   // executors come and go with the work
	memory   string // of an executor's Java, as it is set
}

func (e *examination) add(check string, state State, says, do string) {
	e.findings = append(e.findings, Finding{check, state, says, do})
}

// access looks at who can do what: everybody who can open a session can run
// commands on the executors.
func (e *examination) access() {
	t := e.session.target
	switch {
	case t.token == "":
		e.add("access", Warning, "the server asks for no token: everybody who reaches it can run commands on the executors",
			"start it with SPARK_CONNECT_AUTHENTICATE_TOKEN set, as `fettle spark serve-command` prints it")
	case t.open:
		e.add("access", Warning, "the token goes over the network in the clear", "put a proxy that speaks TLS before the server, and use_ssl=true into the address; or see that nobody listens on that network")
	case t.tls != nil:
		e.add("access", OK, "a token, by TLS", "")
	default:
		e.add("access", OK, "a token, on this computer", "")
	}
}

// settings looks at how the server was started.
func (e *examination) settings(ctx context.Context) error {
	wanted := ServerSettings()
	names := []string{"spark.master", "spark.driver.host", "spark.ui.enabled", "spark.ui.port"}
	for _, s := range wanted {
		names = append(names, s.Name)
	}
	have, err := e.session.confs(ctx, names...)
	if err != nil {
		return e.failed(ctx, "settings", err)
	}
	e.dynamic, e.memory = have["spark.dynamicAllocation.enabled"] == "true", have["spark.executor.memory"]
	e.page(have)
	var missing []string
	for _, s := range wanted {
		if s.Must && have[s.Name] != s.Value {
			missing = append(missing, fmt.Sprintf("%s is %s, not %s (%s)", s.Name, cmp.Or(have[s.Name], "not set"), s.Value, s.Why))
		}
	}
	if len(missing) > 0 {
		e.add("settings", Warning, strings.Join(missing, "; "), "start the server as `fettle spark serve-command` prints it")
		return nil
	}
	e.add("settings", OK, "the server was started as training needs it", "")
	return nil
}

// page says where Spark's own page about the session's work is.
func (e *examination) page(have map[string]string) {
	host, port := have["spark.driver.host"], cmp.Or(have["spark.ui.port"], "4040")
	if ip := net.ParseIP(host); host == "" || host == "localhost" || ip != nil && ip.IsLoopback() {
		host = e.session.target.host
	}
	switch {
	case have["spark.ui.enabled"] == "false":
		e.add("page", OK, "Spark's own page is off (spark.ui.enabled)", "")
	case port == "0":
		e.add("page", OK, "Spark's own page is on "+host+", at a port that the server's log names (spark.ui.port is 0)", "")
	default:
		e.add("page", OK, "Spark's own page: http://"+net.JoinHostPort(host, port)+" (or the next free port)", "")
	}
}

// failed books a statement or call that did not go well. The error is only that
// ctx has ended.
func (e *examination) failed(ctx context.Context, check string, err error) error {
	if ctx.Err() == nil {
		e.add(check, Error, err.Error(), "see the server's log, and its page")
	}
	return ctx.Err()
}

// run runs a statement and forgets it.
func (e *examination) run(ctx context.Context, sql string, values ...string) ([]string, error) {
	op, err := e.session.Start(ctx, NewID(), sql, values...)
	if err != nil {
		return nil, err
	}
	rows, err := op.Result(ctx, nil)
	return rows, errors.Join(err, op.Release(ctx))
}

const probeName = "fettle"

// binary uploads the worker's program and runs it on an executor.
func (e *examination) binary(ctx context.Context) error {
	if e.config.Binary == nil {
		return nil
	}
	program, size, err := e.config.Binary()
	if err != nil {
		e.add("program", Error, err.Error(), "name a fettle for Linux that can be read")
		return nil
	}
	defer program.Close()
	if err := e.session.Upload(ctx, probeName, program, size); err != nil {
		return e.failed(ctx, "upload", err)
	}
	rows, err := e.run(ctx, Transform(e.session.Path(probeName)+" version"), "")
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && (strings.Contains(err.Error(), "Exec format error") || strings.Contains(err.Error(), "cannot execute")):
		e.add("program", Error, "fettle does not run on the executors: it is built for another processor or system", "give fettle a build of itself for Linux on their processor (slots, below, names it)")
	case err != nil && strings.Contains(err.Error(), "Permission denied"):
		e.add("program", Error, "fettle may not be run on the executors: "+err.Error(), "Spark's folders of work there must not be mounted noexec (SPARK_WORKER_DIR, spark.local.dir)")
	case err != nil:
		e.add("program", Error, "fettle does not run on the executors: "+err.Error(), "see the executors' logs, on Spark's page")
	case len(rows) == 0:
		e.add("program", Error, "fettle ran on an executor, and printed nothing", "see the executors' logs, on Spark's page")
	default:
		e.add("program", OK, "it was uploaded, and runs on an executor: "+fettle.Shorten(rows[0]), "")
	}
	return nil
}

// probe is what a task says of its executor: processor, computer, free memory
// (KiB), the most a container gives (bytes or max), when it began and ended
// (seconds since its computer's start), and its folder, which no other executor
// has.
const probe = `read -r begin x < /proc/uptime; sleep 2; read -r end x < /proc/uptime; read -r host < /proc/sys/kernel/hostname; ` +
	`while read -r name value x; do if [ $name = MemAvailable: ]; then free=$value; fi; done < /proc/meminfo; ` +
	`limit=max; if [ -r /sys/fs/cgroup/memory.max ]; then read -r limit < /sys/fs/cgroup/memory.max; fi; ` +
	`echo $(uname -m) $host $free $limit $begin $end $(pwd)`

const (
	firstTasks = 8   // of a probe; four times as many, if all ran at once
	mostTasks  = 128 // so it ends
)

// slots looks how many trainings can run at once, and on what.
func (e *examination) slots(ctx context.Context) error {
	var tasks []task
	for n := firstTasks; ; n *= 4 {
		rows, err := e.run(ctx, fmt.Sprintf("SELECT TRANSFORM(id) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' USING %s AS (r STRING) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' FROM range(0, %d, 1, %d)", quote(probe), n, n))
		if err != nil {
			return e.failed(ctx, "slots", err)
		}
		if tasks, err = readTasks(rows); err != nil {
			return e.failed(ctx, "slots", err)
		}
		if atOnce(tasks) < n || 4*n > mostTasks {
			break
		}
	}
	e.judgeSlots(tasks)
	return nil
}

func (e *examination) judgeSlots(tasks []task) {
	executors, kinds, hosts := map[string]bool{}, map[string]bool{}, map[string][]task{}
	for _, t := range tasks {
		executors[t.folder], kinds[t.machine] = true, true
		hosts[t.host] = append(hosts[t.host], t)
	}
	says := fmt.Sprintf("tasks at once: %d; executors: %d; computers: %d, of the kind %s", atOnce(tasks), len(executors), len(hosts), strings.Join(slices.Sorted(maps.Keys(kinds)), " and "))
	if e.dynamic {
		says += ". Executors come and go with the work, as far as the cluster has cores"
	}
	state, do := OK, ""
	if len(kinds) > 1 {
		state, do = Warning, "one program runs on one kind of processor: keep the server to workers of one kind"
	}
	e.add("slots", state, says, do)
	e.judgeMemory(hosts)
}

// enough memory for a training of the usual size, which takes 100 to 200 MiB.
const enough = 512 << 20

// judgeMemory looks at the computer that has least for each training.
func (e *examination) judgeMemory(hosts map[string][]task) {
	least, where, slots := int64(math.MaxInt64), "", 0
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		n := atOnce(hosts[host])
		for _, t := range hosts[host] {
			if each := t.free / int64(n); each < least {
				least, where, slots = each, host, n
			}
		}
	}
	state, do := OK, ""
	if least < enough {
		state, do = Warning, fmt.Sprintf("have %d MiB free for each training that runs at once, or fewer cores there", enough>>20)
	}
	e.add("memory", state, fmt.Sprintf("%s are free for each of the trainings that run at once (%d on %s, where there is least), beside the executors' own (spark.executor.memory=%s)",
		memory(least), slots, where, cmp.Or(e.memory, "1g")), do)
}

// memory writes bytes for people.
func memory(bytes int64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}

// A task is what one task of a probe has said.
type task struct {
	machine, host, folder string
	free                  int64 // bytes
	begin, end            float64
}

func readTasks(rows []string) ([]task, error) {
	var tasks []task
	for _, row := range rows {
		parts := strings.SplitN(row, " ", 7)
		if len(parts) != 7 {
			return nil, fettle.Errorf(fettle.Internal, "an executor answers %q; expected seven words", fettle.Shorten(row))
		}
		free, err1 := strconv.ParseInt(parts[2], 10, 64)
		begin, err2 := strconv.ParseFloat(parts[4], 64)
		end, err3 := strconv.ParseFloat(parts[5], 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fettle.Errorf(fettle.Internal, "an executor answers %q: %w", fettle.Shorten(row), err)
		}
		t := task{machine: parts[0], host: parts[1], free: free << 10, begin: begin, end: end, folder: parts[6]}
		if limit, err := strconv.ParseInt(parts[3], 10, 64); err == nil {
			t.free = min(t.free, limit)
		}
		tasks = append(tasks, t)
	}
	if len(tasks) == 0 {
		return nil, fettle.Errorf(fettle.Internal, "the executors answer nothing")
	}
	return tasks, nil
}

// atOnce is how many tasks ran at the same time: on each executor as many as
// were under way when one began, added up, since executors' clocks differ.
func atOnce(tasks []task) int {
	most := map[string]int{}
	for _, t := range tasks {
		n := 0
		for _, other := range tasks {
			if other.folder == t.folder && other.begin <= t.begin && t.begin < other.end {
				n++
			}
		}
		most[t.folder] = max(most[t.folder], n)
	}
	sum := 0
	for _, n := range most {
		sum += n
	}
	return sum
}
