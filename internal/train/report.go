package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"fettle"
	"fettle/patchtst"
)

// A Progress is a line of progress: JSON on standard error, or the body of a
// POST.
type Progress struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	fettle.TrainingProgress
}

const (
	// reportEvery is how often progress is told, besides after each epoch; a
	// POST less often.
	reportEvery = 500 * time.Millisecond
	postEvery   = 5 * time.Second
	postEpochs  = time.Second // an epoch may take no time
	// postWithin is how long a POST may take: training waits for it.
	postWithin = 5 * time.Second
	// mostPause is the longest time between two POSTs.
	mostPause = 2 * time.Minute
)

// A reporter tells how far a training is.
type reporter struct {
	job     *Job
	out     io.Writer
	client  *http.Client
	refused context.CancelCauseFunc // what the other side does not want any more

	told, began time.Time
	pause       time.Duration // until the next POST, if the last one failed
	first       int           // steps that were there when it began
	validation  *float64
}

func newReporter(job *Job, out io.Writer) *reporter {
	return &reporter{job: job, out: out, client: &http.Client{Timeout: postWithin}}
}

// step is patchtst's Progress.
func (r *reporter) step(p patchtst.Progress) {
	now, every, everyEpoch := time.Now(), reportEvery, time.Duration(0)
	if r.job.Report != nil {
		every = max(postEvery, r.pause)
		everyEpoch = max(postEpochs, r.pause)
	}
	if r.began.IsZero() {
		r.began, r.first = now, p.Step-1
	}
	if p.ValidationScore != nil {
		r.validation = &p.ValidationScore.MSE
		every = everyEpoch
	}
	if now.Sub(r.told) < every {
		return
	}
	r.told = now
	took := now.Sub(r.began).Seconds()
	left := took / float64(max(1, p.Step-r.first)) * float64(p.Steps-p.Step)
	if budget := r.job.Limits.Seconds; budget > 0 {
		left = min(left, max(0, budget-took)) // then its time is up
	}
	r.tell(Progress{Version: wireVersion, ID: r.job.ID, TrainingProgress: fettle.TrainingProgress{
		Epoch: p.Epoch, Epochs: p.Epochs, Step: p.Step, Steps: p.Steps, Loss: p.Loss, Validation: r.validation,
		SecondsLeft: left,
	}})
}

// tell never fails: a training is worth more than news of it. But one that is
// no longer wanted ends.
func (r *reporter) tell(p Progress) {
	if r.job.Report == nil {
		_ = writeLine(r.out, p) // whoever does not listen any more kills the worker anyway
		return
	}
	switch err := r.post(p); {
	case errors.Is(err, ErrUnwanted):
		r.refused(err)
	case err != nil:
		// Training waits for each POST, so a server that is away is asked less often.
		r.pause = min(max(2*r.pause, 2*postEvery), mostPause)
		fmt.Fprintf(r.out, "cannot report progress: %v\n", err)
	default:
		r.pause = 0
	}
}

func (r *reporter) post(p Progress) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, r.job.Report.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := ask(r.client, request, r.job.Report.Key)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusNotFound, http.StatusConflict, http.StatusGone:
		return fmt.Errorf("%w (%s)", ErrUnwanted, response.Status)
	case http.StatusOK, http.StatusNoContent:
		return nil
	default:
		return fmt.Errorf("%s answers %s", r.job.Report.URL, response.Status)
	}
}

const (
	// fetchWithin is how long the readings may take to come, and tryFor how long
	// a server is tried that is away, or has too much to do.
	fetchWithin = 10 * time.Minute
	tryFor      = 3 * time.Minute
)

// fetchData gets a job's readings from where it says.
func fetchData(ctx context.Context, d Data) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	began := time.Now()
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		data, again, err := tryFetch(ctx, d)
		if !again || time.Since(began) > tryFor {
			return data, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// tryFetch is one try; again: another may go better.
func tryFetch(ctx context.Context, d Data) (data []byte, again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL, nil)
	if err != nil {
		return nil, false, fettle.BadField("bad job", "data.url", d.URL, "an address that begins with http:// or https://")
	}
	response, err := ask(&http.Client{}, request, d.Key)
	if err != nil {
		return nil, true, fettle.Errorf(fettle.Unavailable, "fetch the readings: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		again := response.StatusCode >= http.StatusInternalServerError || response.StatusCode == http.StatusTooManyRequests
		return nil, again, fettle.Errorf(fettle.Unavailable, "fetch the readings: %s answers %s", d.URL, response.Status)
	}
	data, err = readData(response.Body, d)
	return data, err != nil, err
}

// ask sends a request with a key, which no redirect may carry elsewhere.
func ask(client *http.Client, request *http.Request, key string) (*http.Response, error) {
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if key != "" {
		request.Header.Set("X-API-Key", key)
	}
	return client.Do(request)
}
