package train

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"fettle"
)

// A job comes out of its line as it went in, with its readings.
func TestJobReadsBack(t *testing.T) {
	job, packed := jobOf(t, tiny, waves("m", 300))
	job.Quarantined = []fettle.Interval{{From: start, To: start.Add(time.Minute)}}
	job.Champion = &Champion{Name: `model_","rows":"_20260302_070000`, Family: "patchtst", Files: []File{{"a.json", sumOf([]byte("{}")), []byte("{}")}}}
	line := lineOf(t, job, packed)
	if n := bytes.Count(line, []byte("\n")); n != 1 || bytes.Contains(line, []byte("\t")) {
		t.Errorf("the line has %d newlines", n)
	}
	got, data, err := readJob(bytes.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, job) || !bytes.Equal(data, packed) {
		t.Errorf("job is\n%+v\nexpected\n%+v", got, job)
	}
	table, err := unpack(got.Machine, got.Data, data)
	if err != nil {
		t.Fatal(err)
	}
	column, err := table.Column(1)
	if err != nil || len(table.Times) != 300 || column[299] != waves("m", 300)[299].Values[1].Value {
		t.Errorf("%d rows, err %v", len(table.Times), err)
	}
}

// What cannot be a job is refused by the field, the value and what was
// expected.
func TestBadJobs(t *testing.T) {
	for _, c := range []struct {
		change func(*Job)
		want   string
	}{
		{func(j *Job) { j.Version = 7 }, "version is 7; expected 1"},
		{func(j *Job) { j.Machine = "" }, "machine; expected 1 to 128 bytes"},
		{func(j *Job) { j.Network.Channels = 3 }, "network.Channels is 3; expected 2"},
		{func(j *Job) { j.Data.Rows = 299 }, "data.rows is 299; expected as many as the readings have"},
		{func(j *Job) { j.Data.SHA256 = strings.Repeat("0", 64) }, "data.sha256 is 0000"},
		{func(j *Job) { j.Data.Bytes++ }, "data.bytes is "},
		{func(j *Job) { j.Data.Sensors = []string{"a", "c"} }, `data.sensors is ["a" "c"]; expected ["a" "b"]`},
		{func(j *Job) { j.Data.URL = "http://127.0.0.1:1" }, "not both"},
		{func(j *Job) { j.Test = 0 }, "validation is 0.1 and test 0"},
		{func(j *Job) { j.Limits.Memory = 1 << 20 }, "training.memory is 1 MiB; expected at least"},
		{func(j *Job) { j.Scaler = "log" }, "scaler is log; expected minmax or robust"},
		{func(j *Job) { j.Champion = &Champion{Family: "patchtst", Files: []File{{Name: "../x"}}} }, "champion.files[0].name is ../x"},
		{func(j *Job) { j.Champion = &Champion{Family: "patchtst", Files: []File{{Name: "x", SHA256: "?"}}} }, "champion.files[0].sha256 is ?"},
		{func(j *Job) { j.Training.Epochs = 0 }, "Epochs is 0; expected 1"},
		{func(j *Job) { j.Network.PatchLength = 99 }, "patch_length"},
		{func(j *Job) { j.Network.ContextLength = 500 }, "300 rows are too few"},
	} {
		job, packed := jobOf(t, tiny, waves("m", 300))
		c.change(job)
		r := do(t, lineOf(t, job, packed))
		if r.Error == nil || !strings.Contains(r.Error.Message, c.want) {
			t.Errorf("error is %+v, expected %q", r.Error, c.want)
		}
	}
	for line, want := range map[string]string{
		"":                      "expected one line of JSON",
		"{":                     "read job",
		"[]\n":                  "read job",
		`{"version":1} {}`:      "follows the job",
		`{"version":1,"x":2}`:   `unknown field "x"`,
		`{"a":1,"rows":"====`:   `unknown field "a"`,
		"{\"machine\":\"m\"}\n": "version is 0; expected 1",
	} {
		if r := do(t, []byte(line)); r.Error == nil || !strings.Contains(r.Error.Message, want) {
			t.Errorf("%q: %+v, expected %q", line, r.Error, want)
		}
	}
}

// Whatever comes in as a job, a result or an error comes out.
func FuzzJob(f *testing.F) {
	job, packed := jobOf(f, tiny, waves("m", 120))
	f.Add(lineOf(f, job, packed))
	job.Data.URL = "http://127.0.0.1:1/"
	f.Add(lineOf(f, job, nil))
	f.Add([]byte(`{"version":1,"rows":"AAAA"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		job, packed, err := readJob(bytes.NewReader(line))
		if err != nil || packed == nil || job.Data.Rows > 1000 {
			return
		}
		table, err := unpack(job.Machine, job.Data, packed)
		if err != nil {
			return
		}
		if _, err := Prepare(table, Division{Validation: job.Validation, Test: job.Test, Scaler: job.Scaler, Quarantined: job.Quarantined}); err != nil {
			return
		}
	})
}

// Whatever a worker prints is a result or an error.
func FuzzResult(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"17","machine":"m","forecaster":"short","files":[{"name":"a","data":"AA==","sha256":"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"}]}`))
	f.Add([]byte("Killed\n"))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parseResult(line, &Job{ID: "17", Machine: "m", Forecaster: "short"})
		if err == nil && r.Error == nil && len(r.Files) == 0 {
			t.Error("a result without files")
		}
	})
}

func ExampleFindRecipe() {
	r, err := FindRecipe(`{"preset":"research","epochs":3,"d_model":64}`)
	fmt.Println(r.Network.ContextLength, r.Network.ModelWidth, r.Options.Epochs, r.Options.Batch, err)
	_, err = FindRecipe("huge")
	fmt.Println(err)
	_, err = FindRecipe(`{"epoch":3}`)
	fmt.Println(err)
	// Output:
	// 1200 64 3 16 <nil>
	// preset is huge; expected deployed, research, ett, or the path of a JSON file
	// read preset: json: unknown field "epoch"
}
