package spark

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"fettle"
)

// A Setting is one of Spark's.
type Setting struct {
	Name, Value, Why string
	Must             bool // training goes wrong without it
}

// ServerSettings are those that a Connect server is started with for fettle;
// they cannot be set by a session.
func ServerSettings() []Setting {
	return []Setting{
		{"spark.executor.cores", "1", "an executor that is ended takes no other training with it", true},
		{"spark.executor.memory", "1g", "of the Java side; a training's own memory comes on top", false},
		{"spark.task.reaper.enabled", "true", "a cancelled training ends on the executor too", true},
		{"spark.task.reaper.pollingInterval", "2s", "and is watched until it has", false},
		{"spark.task.reaper.killTimeout", "10s", "or is ended with its executor", false},
		{"spark.dynamicAllocation.enabled", "true", "cores are held while there is training, not for ever", false},
		{"spark.dynamicAllocation.shuffleTracking.enabled", "true", "without a shuffle service", false},
		{"spark.dynamicAllocation.executorIdleTimeout", "60s", "until an idle executor is let go", false},
		{"spark.connect.execute.manager.detachedTimeout", "1h", "fettle may be away for so long, and finds its trainings again", false},
	}
}

// A ServeCommand is the command that starts a Connect server on a standalone
// cluster.
type ServeCommand struct {
	Master  string   // spark://host:7077
	Address string   // where it listens; "" is everywhere
	Port    int      // there
	Memory  string   // of the server itself, such as 1g
	Confs   []string // more settings, as name=value; these win over ServerSettings
}

// Args are the arguments of Spark's bin/spark-submit. Of two settings of one
// name it takes the last.
func (c ServeCommand) Args() []string {
	args := []string{"--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "--name", "fettle", "--master", c.Master, "--driver-memory", c.Memory}
	confs := []string{fmt.Sprintf("spark.connect.grpc.binding.port=%d", c.Port)}
	if c.Address != "" {
		confs = append(confs, "spark.connect.grpc.binding.address="+c.Address)
	}
	for _, s := range ServerSettings() {
		own := func(conf string) bool { return strings.HasPrefix(conf, s.Name+"=") }
		if !slices.ContainsFunc(c.Confs, own) {
			confs = append(confs, s.Name+"="+s.Value)
		}
	}
	for _, conf := range append(confs, c.Confs...) {
		args = append(args, "--conf", conf)
	}
	return append(args, "spark-internal")
}

// String is the command as it is typed into a shell on a computer that has
// Spark. The token comes from the environment: arguments are seen by everybody
// on that computer. SPARK_DAEMON_MEMORY would win over --driver-memory.
func (c ServeCommand) String() string {
	lines := []string{`SPARK_CONNECT_AUTHENTICATE_TOKEN="${TOKEN:?is not set}" SPARK_DAEMON_MEMORY= "${SPARK_HOME:?is not set}"/bin/spark-submit`}
	args := c.Args()
	for i := 0; i < len(args); i++ {
		line := shellWord(args[i])
		if strings.HasPrefix(args[i], "--") {
			i++
			line += " " + shellWord(args[i])
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " \\\n  ")
}

// shellWord quotes what a shell would read as more than a word.
func shellWord(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// CheckMaster says what is wrong with the address of a standalone master, or of
// several (spark://a:7077,b:7077).
func CheckMaster(master string) error {
	rest, found := strings.CutPrefix(master, "spark://")
	for address := range strings.SplitSeq(rest, ",") {
		if host, port, err := net.SplitHostPort(address); !found || err != nil || host == "" || port == "" {
			return fettle.BadField("bad master", "MASTER", master, "the address of a standalone master, such as spark://spark-master:7077; its web page shows it on top")
		}
	}
	return nil
}
