package spark

import (
	"fmt"
	"net"
	"strings"

	"fettle"
)

// A Setting is one of Spark's, and why it is as it is.
type Setting struct{ Name, Value, Why string }

// ServerSettings are those that a Connect server is started with for fettle;
// they cannot be set by a session.
func ServerSettings() []Setting {
	return []Setting{
		{"spark.executor.cores", "1", "one training a task, one task an executor: what is killed takes no other training with it"},
		{"spark.executor.memory", "1g", "of the Java side; the training's own memory comes on top"},
		{"spark.task.reaper.enabled", "true", "a cancelled training ends on the executor too"},
		{"spark.task.reaper.pollingInterval", "2s", "and is seen to end"},
		{"spark.task.reaper.killTimeout", "10s", "or is ended with its executor"},
		{"spark.dynamicAllocation.enabled", "true", "cores are held while there is training, not for ever"},
		{"spark.dynamicAllocation.shuffleTracking.enabled", "true", "without an external shuffle service"},
		{"spark.dynamicAllocation.executorIdleTimeout", "60s", ""},
		{"spark.connect.execute.manager.detachedTimeout", "1h", "fettle may be away so long, and finds its trainings again"},
	}
}

// A ServeCommand is the command that starts a Connect server on a standalone
// cluster.
type ServeCommand struct {
	Master  string // spark://host:7077
	Address string // where it listens; "" is everywhere
	Port    int
	Memory  string // of the server itself, such as 1g
}

// Args are the arguments of Spark's bin/spark-submit.
func (c ServeCommand) Args() []string {
	args := []string{"--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "--name", "fettle", "--master", c.Master, "--driver-memory", c.Memory}
	for _, s := range ServerSettings() {
		args = append(args, "--conf", s.Name+"="+s.Value)
	}
	if c.Address != "" {
		args = append(args, "--conf", "spark.connect.grpc.binding.address="+c.Address)
	}
	return append(args, "--conf", fmt.Sprintf("spark.connect.grpc.binding.port=%d", c.Port), "spark-internal")
}

// String is the command as it is typed into a shell on a machine that has
// Spark. The token comes from the environment: arguments are seen by everybody
// on that machine.
func (c ServeCommand) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "SPARK_CONNECT_AUTHENTICATE_TOKEN=\"$TOKEN\" \"$SPARK_HOME\"/bin/spark-submit")
	args := c.Args()
	for i := 0; i < len(args); i++ {
		fmt.Fprintf(&text, " \\\n  %s", args[i])
		if strings.HasPrefix(args[i], "--") {
			i++
			fmt.Fprintf(&text, " %s", args[i])
		}
	}
	return text.String()
}

// CheckMaster says what is wrong with the address of a standalone master.
func CheckMaster(master string) error {
	rest, found := strings.CutPrefix(master, "spark://")
	for address := range strings.SplitSeq(rest, ",") {
		if host, port, err := net.SplitHostPort(address); !found || err != nil || host == "" || port == "" || strings.ContainsAny(address, " '\"$`\\;&|<>()") {
			return fettle.BadField("bad master", "MASTER", master, "the address of a standalone master, such as spark://spark-master:7077; its web page shows it on top")
		}
	}
	return nil
}
