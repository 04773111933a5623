package train

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"fettle"
)

const (
	// maxInline is how much of packed readings goes with a job to a cluster, in
	// bytes of the line: it is in our memory, and in that of Spark's driver.
	maxInline = 16 << 20
	// inlineAnyway is how much does even if workers could fetch them: they would
	// ask another computer for little.
	inlineAnyway = 256 << 10
)

// line is a job's line for a worker elsewhere, which has no folder of ours for
// checkpoints. What of its readings is too much for the line it is told to fetch.
func (c *cluster) line(path string, id uint64, key string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open job: %w", err)
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 64<<10)
	head, _, err := readHead(in)
	if err != nil {
		return "", err
	}
	job, err := parseJob(head)
	if err != nil {
		return "", err
	}
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("open job: %w", err)
	}
	rows := info.Size() - int64(len(head))
	job.Checkpoint = ""
	if c.cfg.FettleURL != "" {
		base := strings.TrimRight(c.cfg.FettleURL, "/") + "/api/v1/training/" + strconv.FormatUint(id, 10)
		job.Report = &Access{base + "/progress", key}
		if rows > inlineAnyway {
			job.Data.Access = Access{base + "/rows", key}
		}
	} else if rows > maxInline {
		return "", fettle.BadField("too large", "readings", mebibytes(rows), fmt.Sprintf("at most %s to go with a job: set training.spark.fettle_url, so that the cluster fetches them, or train on a shorter history", mebibytes(maxInline)))
	}
	if head, err = json.Marshal(job); err != nil {
		return "", fmt.Errorf("encode job: %w", err)
	}
	if job.Data.URL != "" {
		return string(head), nil
	}
	var line strings.Builder
	line.Grow(len(head) + int(rows) + len(rowsMark))
	line.Write(head[:len(head)-1])
	line.Write(rowsMark)
	if _, err := io.Copy(&line, in); err != nil {
		return "", fmt.Errorf("read the job's readings: %w", err)
	}
	return strings.TrimRight(line.String(), "\n"), nil
}
