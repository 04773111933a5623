package train

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"fettle"
	"fettle/internal/model"
	"fettle/patchtst"
)

// wireVersion is that of the job line, the result line and the lines of
// progress.
const wireVersion = 1

// Limits of a job line, in bytes unless it says otherwise.
const (
	maxHead  = 64 << 20  // everything but the readings: a champion is in it
	maxData  = 512 << 20 // readings, packed
	maxCells = 1 << 30   // readings times sensors
	maxFiles = 32        // of a model's folder
	maxURL   = 2048
)

// A Job is all that a worker is told: it trains one model for one machine, and
// needs nothing else. On the wire it is one line of JSON without a newline or a
// tab inside. The readings come last, so that they can be decoded as they are
// read:
//
//	{"version":1,"id":"17",…,"data":{…},"rows":"<base64 of Parquet>"}
//
// or they are fetched from data.url, and there is no "rows".
type Job struct {
	Version    int     `json:"version"`
	ID         string  `json:"id"` // of the run
	Machine    string  `json:"machine"`
	Forecaster string  `json:"forecaster"`
	Seed       uint64  `json:"seed"`
	Scaler     Scaling `json:"scaler"`

	Network  patchtst.Config `json:"network"` // with as many channels as data has sensors
	Training Settings        `json:"training"`
	Limits   Limits          `json:"limits"`

	Validation  float64           `json:"validation"` // shares of the rows, the newest
	Test        float64           `json:"test"`
	Quarantined []fettle.Interval `json:"quarantined,omitempty"`
	Champion    *Champion         `json:"champion,omitempty"` // whom to beat

	Checkpoint string  `json:"checkpoint,omitempty"` // folder to keep the state of training in, and to go on from
	Report     *Access `json:"report,omitempty"`     // where to POST progress, instead of standard error
	Data       Data    `json:"data"`
}

// Settings are patchtst.Options, as far as they change what a model becomes.
type Settings struct {
	Epochs          int     `json:"epochs"`
	Batch           int     `json:"batch"`
	LearningRate    float64 `json:"learning_rate"`
	WeightDecay     float64 `json:"weight_decay"`
	Clip            float64 `json:"clip"`
	Schedule        string  `json:"schedule"`
	Patience        int     `json:"patience"`
	Precision       string  `json:"precision,omitempty"`
	WindowsPerEpoch int     `json:"windows_per_epoch,omitempty"`
}

// Limits are what a worker may take.
type Limits struct {
	Threads int     `json:"threads,omitempty"` // 0: one for each processor; their number changes no bit
	Memory  int64   `json:"memory"`            // bytes; more is refused before it starts
	Seconds float64 `json:"seconds,omitempty"` // after which it stops and answers with the best so far; 0: none
}

// Data are the readings: a Parquet file of one machine as docs of package days
// describe it.
type Data struct {
	Rows    int      `json:"rows"`
	Sensors []string `json:"sensors"`
	Bytes   int64    `json:"bytes"` // of the file
	SHA256  string   `json:"sha256"`
	Access           // where to get it, if it is not in the job
}

// Access is an address, and the key that it wants.
type Access struct {
	URL string `json:"url,omitempty"`
	Key string `json:"key,omitempty"`
}

// A File is one file of a model's folder.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Data   []byte `json:"data"` // base64 in JSON
}

func settingsOf(o patchtst.Options) Settings {
	return Settings{
		Epochs: o.Epochs, Batch: o.Batch, LearningRate: o.LearningRate, WeightDecay: o.WeightDecay, Clip: o.Clip,
		Schedule: string(o.Schedule), Patience: o.Patience, Precision: string(o.Precision), WindowsPerEpoch: o.WindowsPerEpoch,
	}
}

// options are a job's settings and limits as patchtst takes them.
func (j *Job) options() patchtst.Options {
	o, t := patchtst.NewOptions(), j.Training
	o.Epochs, o.Batch, o.LearningRate, o.WeightDecay, o.Clip = t.Epochs, t.Batch, t.LearningRate, t.WeightDecay, t.Clip
	o.Schedule, o.Patience, o.Precision, o.WindowsPerEpoch = patchtst.Schedule(t.Schedule), t.Patience, patchtst.Precision(t.Precision), t.WindowsPerEpoch
	o.Seed, o.Threads, o.MaxBytes, o.Checkpoint = j.Seed, j.Limits.Threads, j.Limits.Memory, j.Checkpoint
	return o
}

// rowsMark is where the readings begin in a job line. Outside of a text it can
// stand in JSON only as what it is, and inside of one its quotes would have
// backslashes.
var rowsMark = []byte(`,"rows":"`)

// readJob reads a job line, and the packed readings if they are in it.
func readJob(r io.Reader) (*Job, []byte, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head, inline, err := readHead(in)
	if err != nil {
		return nil, nil, err
	}
	job, err := parseJob(head)
	if err != nil {
		return nil, nil, err
	}
	if inline == (job.Data.URL != "") {
		return nil, nil, fettle.BadField("bad job", "rows", "", "readings in the job, or data.url, not both and not neither")
	}
	if !inline {
		return job, nil, nil
	}
	data, err := readData(base64.NewDecoder(base64.StdEncoding, &text{in: in}), job.Data)
	if err != nil {
		return nil, nil, err
	}
	end, err := in.ReadString('\n')
	if err != nil && err != io.EOF || strings.TrimSpace(end) != "}" {
		return nil, nil, fettle.BadField("bad job", "rows", end, "the end of the line after the readings")
	}
	return job, data, nil
}

// readJobHead reads a job without its readings.
func readJobHead(r io.Reader) (*Job, error) {
	head, _, err := readHead(bufio.NewReaderSize(r, 64<<10))
	if err != nil {
		return nil, err
	}
	return parseJob(head)
}

// readHead reads up to the readings, or the whole line if there are none.
func readHead(in *bufio.Reader) (head []byte, inline bool, err error) {
	for {
		c, err := in.ReadByte()
		if err == io.EOF && len(head) > 0 || c == '\n' {
			return head, false, nil
		}
		if err != nil {
			return nil, false, fettle.Errorf(fettle.Invalid, "read job: %w; expected one line of JSON on standard input", err)
		}
		if head = append(head, c); len(head) > maxHead {
			return nil, false, fettle.BadField("bad job", "job", fmt.Sprint(len(head), " bytes"), fmt.Sprintf("at most %d before the readings", maxHead))
		}
		if c == '"' && bytes.HasSuffix(head, rowsMark) {
			return append(head[:len(head)-len(rowsMark)], '}'), true, nil
		}
	}
}

// text reads a JSON text without escapes, up to its end.
type text struct {
	in   *bufio.Reader
	over bool
}

func (t *text) Read(p []byte) (int, error) {
	for n := range p {
		if t.over {
			return n, io.EOF
		}
		c, err := t.in.ReadByte()
		if err != nil {
			return n, err
		}
		if c == '"' {
			t.over = true
			return n, io.EOF
		}
		p[n] = c
	}
	return len(p), nil
}

// readData reads packed readings: as many bytes as were announced.
func readData(r io.Reader, d Data) ([]byte, error) {
	var data bytes.Buffer
	data.Grow(int(min(d.Bytes+bytes.MinRead, 16<<20))) // whatever was announced, memory comes with the bytes
	n, err := data.ReadFrom(io.LimitReader(r, d.Bytes+1))
	if err != nil {
		return nil, fettle.Errorf(fettle.Invalid, "read the job's readings: %w", err)
	}
	if n != d.Bytes {
		return nil, fettle.BadField("bad job", "data.bytes", fmt.Sprint(d.Bytes), fmt.Sprintf("as many as came, %d or more", n))
	}
	return data.Bytes(), nil
}

func parseJob(text []byte) (*Job, error) {
	var j Job
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&j); err != nil {
		return nil, fettle.Errorf(fettle.Invalid, "read job: %w", err)
	}
	if decoder.More() {
		return nil, fettle.Errorf(fettle.Invalid, "read job: something follows the job on its line")
	}
	j.Forecaster = cmp.Or(j.Forecaster, fettle.ShortForecaster)
	return &j, j.check()
}

var hash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// check refuses what no job can be. What the network and its training may be is
// patchtst's to say.
func (j *Job) check() error {
	channels := len(j.Data.Sensors)
	for _, f := range []struct {
		ok                     bool
		field, value, expected string
	}{
		{j.Version == wireVersion, "version", fmt.Sprint(j.Version), fmt.Sprintf("%d; use the same fettle on both sides", wireVersion)},
		{j.Machine != "" && len(j.Machine) <= fettle.MaxName, "machine", j.Machine, fmt.Sprintf("1 to %d bytes", fettle.MaxName)},
		{len(j.Forecaster) <= fettle.MaxName, "forecaster", j.Forecaster, fmt.Sprintf("at most %d bytes", fettle.MaxName)},
		{channels > 0 && channels <= fettle.MaxSensors, "data.sensors", fmt.Sprint(channels, " names"), fmt.Sprintf("1 to %d", fettle.MaxSensors)},
		{j.Network.Channels == channels, "network.Channels", fmt.Sprint(j.Network.Channels), fmt.Sprintf("%d, one for each sensor", channels)},
		{j.Data.Rows > 0 && j.Data.Rows <= maxCells/max(channels, 1), "data.rows", fmt.Sprint(j.Data.Rows), fmt.Sprintf("1 to %d for so many sensors", maxCells/max(channels, 1))},
		{j.Data.Bytes > 0 && j.Data.Bytes <= maxData, "data.bytes", fmt.Sprint(j.Data.Bytes), fmt.Sprintf("1 to %d", maxData)},
		{hash.MatchString(j.Data.SHA256), "data.sha256", j.Data.SHA256, "64 hexadecimal digits"},
		{j.Validation > 0 && j.Test > 0 && j.Validation+j.Test <= 0.9, "validation", fmt.Sprint(j.Validation, " and test ", j.Test), "positive shares, 0.9 together at most"},
		{j.Limits.Memory > 0, "limits.memory", fmt.Sprint(j.Limits.Memory), "a number of bytes"},
		{j.Limits.Seconds >= 0, "limits.seconds", fmt.Sprint(j.Limits.Seconds), "0 or more"},
		{j.Limits.Threads >= 0 && j.Limits.Threads <= 1024, "limits.threads", fmt.Sprint(j.Limits.Threads), "0 to 1024"},
		{j.Scaler == MinMax || j.Scaler == Robust, "scaler", string(j.Scaler), "minmax or robust"},
		{len(j.Data.URL) <= maxURL, "data.url", j.Data.URL, fmt.Sprintf("at most %d bytes", maxURL)},
	} {
		if !f.ok {
			return fettle.BadField("bad job", f.field, f.value, f.expected)
		}
	}
	if c := j.Champion; c != nil {
		if c.Family != model.Ridge && c.Family != model.PatchTST {
			return fettle.BadField("bad job", "champion.family", c.Family, "ridge or patchtst")
		}
		return checkFiles("champion.files", c.Files)
	}
	return nil
}

// plain is what a file of a model's folder may be called.
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// checkFiles refuses files that would leave their folder, or are not what
// their hash says.
func checkFiles(field string, files []File) error {
	if len(files) > maxFiles {
		return fettle.BadField("bad files", field, fmt.Sprint(len(files)), fmt.Sprintf("at most %d", maxFiles))
	}
	for i, f := range files {
		at := fmt.Sprintf("%s[%d]", field, i)
		if !plain.MatchString(f.Name) {
			return fettle.BadField("bad files", at+".name", f.Name, "the plain name of a file")
		}
		if got := sumOf(f.Data); got != f.SHA256 {
			return fettle.BadField("bad files", at+".sha256", f.SHA256, got+", as its data has")
		}
	}
	return nil
}

// writeJob writes the line. rows are the packed readings, nil if they are
// elsewhere.
func writeJob(w io.Writer, j *Job, rows io.Reader) error {
	head, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode job: %w", err)
	}
	if rows == nil {
		_, err = w.Write(append(head, '\n'))
		return err
	}
	if _, err := w.Write(append(head[:len(head)-1], rowsMark...)); err != nil {
		return err
	}
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	if _, err := io.Copy(encoder, rows); err != nil {
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	_, err = io.WriteString(w, "\"}\n")
	return err
}
