package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/process"
	"fettle/patchtst/safetensors"
)

const oldMachine = "cnc-mill-5-axis"

// oldSensors are the old system's six, in the order of its models.
var oldSensors = []string{"current", "accX", "accY", "accZ", "tempA", "tempB"}

// tellOldModel imports the model that the old system trained, sends the golden's
// 50 raw rows as readings, and compares /predict with what transformers and
// scikit-learn answered to the same rows.
func tellOldModel(ctx context.Context, s *server, data string) error {
	out, err := s.Command(ctx, "model", "import", filepath.Join(data, "migration", "models", "model_"+oldMachine+"_20251124_093154"))
	if err != nil {
		return err
	}
	fmt.Print(indent(out))
	err = process.WaitFor(ctx, "the imported model to serve", func() (bool, error) {
		var listed struct{ Models []fettle.Model }
		err := s.get(ctx, "/api/v1/models", &listed)
		return slices.ContainsFunc(listed.Models, func(m fettle.Model) bool { return m.Machine == oldMachine && m.Champion }), err
	})
	if err != nil {
		return err
	}
	golden, err := safetensors.Open(filepath.Join(data, "patchtst-goldens", "seed_ckpt.safetensors"))
	if err != nil {
		return err
	}
	defer golden.Close()
	rows, err := golden.Float64("e2e_raw_rows")
	if err != nil {
		return err
	}
	want, err := golden.Float64("e2e_forecast_f64")
	if err != nil {
		return err
	}

	// The last of the 50 rows stands on a full minute, where a forecast is due;
	// one more row behind it lets the watermark pass.
	last := time.Now().UTC().Truncate(time.Minute)
	if err := s.post(ctx, rowsAt(rows, last)); err != nil {
		return err
	}
	var body struct {
		Status, Message string
		Predictions     struct {
			Predictions map[string][]float64 `json:"predictions"`
			Model       string               `json:"model"`
		}
	}
	err = process.WaitFor(ctx, "a forecast of "+oldMachine, func() (bool, error) {
		err := s.get(ctx, "/predict/"+oldMachine, &body)
		return body.Status == "success", err
	})
	if err != nil {
		return err
	}
	worst := 0.0
	for j, sensor := range oldSensors {
		steps := body.Predictions.Predictions[sensor]
		if len(steps) != 10 {
			return fmt.Errorf("%s has %d steps in /predict, want 10", sensor, len(steps))
		}
		for t, got := range steps {
			worst = max(worst, math.Abs(got-want[t*6+j]))
		}
	}
	fmt.Printf("/predict/%s by %s: at most %.1e away from transformers, in the sensors' units\n", oldMachine, body.Predictions.Model, worst)
	if worst > 1e-4 {
		return fmt.Errorf("the forecast is %g away from transformers", worst)
	}
	return nil
}

// rowsAt makes the old system's messages of raw rows (50, 6), 2 s apart, the
// last one at a time, and repeats the last row 2 s behind it.
func rowsAt(rows []float64, last time.Time) []map[string]any {
	var messages []map[string]any
	n := len(rows) / len(oldSensors)
	for i := range n + 1 {
		message := map[string]any{"workspace_id": oldMachine, "timestamp": last.Add(time.Duration(i-n+1) * 2 * time.Second).Format("2006-01-02T15:04:05.000000Z")}
		row := rows[min(i, n-1)*len(oldSensors):]
		for j, sensor := range oldSensors {
			message[sensor] = row[j]
		}
		messages = append(messages, message)
	}
	return messages
}

func (s *server) post(ctx context.Context, messages []map[string]any) error {
	payload, err := json.Marshal(messages)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.HTTP+"/api/v1/readings", strings.NewReader(string(payload)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("POST /api/v1/readings: %s", response.Status)
	}
	return nil
}

// tellOldClient walks the old routes with curl and prints what they answer.
func tellOldClient(ctx context.Context, s *server, _ string) error {
	for _, path := range []string{"/", "/workspaces", "/inference/status", "/predict/" + oldMachine, "/validate/skab-valve1-0", "/predict/no-such-machine", "/api"} {
		out, err := s.curl(ctx, path)
		if err != nil {
			return err
		}
		if !json.Valid(out) {
			return fmt.Errorf("curl %s: not JSON: %s", path, out)
		}
		text := strings.TrimSpace(string(out))
		if len(text) > 160 {
			text = text[:160] + "…"
		}
		fmt.Printf("$ curl %-26s %s\n", path, text)
	}
	return nil
}
