package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/db"
	"fettle/internal/model"
	"fettle/internal/readings"
	"fettle/internal/service"
)

// facts are what more than one check needs to know, whoever told it.
type facts struct {
	Patient
	status    *api.Status // nil without a server that answers
	silent    error       // why a server that runs does not answer; nil if it does, or none runs
	folder    error       // why the data folder cannot be opened; nil if it can, or a server has it
	fresh     bool        // there is no data folder yet
	machines  []api.MachineStatus
	keys      int
	keysErr   error
	models    int
	problems  []model.Unusable
	modelsErr error
	trainings []fettle.Training
	keeper    service.Status // what keeps the server
	keeperErr error          // why that is not known
}

func gather(ctx context.Context, p Patient) *facts {
	f := &facts{Patient: p}
	if p.Service != nil {
		f.keeper, f.keeperErr = p.Service(ctx)
	}
	if p.Ask != nil {
		f.askServer(ctx)
		return f
	}
	if p.Absent != nil && fettle.KindOf(p.Absent) != fettle.NotFound {
		f.silent = p.Absent
		return f
	}
	f.folder = f.openFolder()
	return f
}

// askServer has everything from the server's own API.
func (f *facts) askServer(ctx context.Context) {
	var status api.Status
	if f.silent = f.Ask(ctx, "/api/v1/status", &status); f.silent != nil {
		return
	}
	f.status, f.machines = &status, status.Machines
	var keys struct{ Keys []api.Key }
	f.keysErr = f.Ask(ctx, "/api/v1/keys", &keys)
	f.keys = len(keys.Keys)
	var models struct {
		Models   []fettle.Model
		Problems []model.Unusable
	}
	f.modelsErr = f.Ask(ctx, "/api/v1/models", &models)
	f.models, f.problems = len(models.Models), models.Problems
	for _, state := range []fettle.TrainingState{fettle.TrainingRunning, fettle.TrainingQueued} {
		var list api.TrainingList
		if f.Ask(ctx, "/api/v1/training?state="+string(state), &list) == nil { // a silent server is told of elsewhere
			f.trainings = append(f.trainings, list.Trainings...)
		}
	}
}

// openFolder reads what a server would know from the folder itself; a folder
// that is not there is not made.
func (f *facts) openFolder() (err error) {
	if _, err := os.Stat(f.Config.Data.Store()); errors.Is(err, fs.ErrNotExist) {
		f.fresh = true
		return nil
	}
	store, err := db.Open(f.Config.Data.Store(), db.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	rows, err := readings.Open(store, f.Config.Data.Dir, nil)
	if err != nil {
		return err
	}
	for _, info := range rows.Machines() {
		f.machines = append(f.machines, api.MachineStatus{Name: info.Machine, Last: info.Last})
	}
	keys, err := api.OpenKeys(store, f.Now)
	if err != nil {
		return err
	}
	f.keys = len(keys.List())
	return f.openModels()
}

func (f *facts) openModels() error {
	if _, err := os.Stat(f.Config.Data.Models()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	folder, err := model.Open(f.Config.Data.Models(), f.Now, func([]fettle.Model) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.modelsErr = err
		return nil
	}
	f.models, f.problems = len(folder.List()), folder.Problems()
	return nil
}

// part finds a part of the server by its name.
func (f *facts) part(name string) (api.Part, bool) {
	if f.status == nil {
		return api.Part{}, false
	}
	for _, p := range f.status.Parts {
		if p.Name == name {
			return p, true
		}
	}
	return api.Part{}, false
}

// ago writes the time since for people.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < 48*time.Hour:
		return d.Round(time.Second).String()
	default:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
}

// size writes bytes for people.
func size(bytes int64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}
