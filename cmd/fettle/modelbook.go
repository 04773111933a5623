package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"fettle"
	"fettle/internal/config"
	"fettle/internal/model"
)

// A modelBook is the models of a data folder.
type modelBook interface {
	List(ctx context.Context, machine string) ([]fettle.Model, []model.Unusable, error)
	Details(ctx context.Context, name string) (model.Details, error)
	Promote(ctx context.Context, name, reason string) (fettle.Model, error)
	Rollback(ctx context.Context, machine, forecaster, reason string) (fettle.Model, error)
	Delete(ctx context.Context, name string) error
	Export(ctx context.Context, name, dir, sklearn string) (string, error)
	Import(ctx context.Context, dir string, o model.ImportOptions) (fettle.Model, error)
}

// Models opens the folder of models.
func (f *folder) Models() (modelBook, error) {
	models, err := model.Open(f.data.Models(), time.Now, nil, newLogger(os.Stderr, config.Log{Level: "error", Format: "text"}))
	if err != nil {
		return nil, err
	}
	return localModels{models}, nil
}

type localModels struct{ folder *model.Folder }

// byHand is the decision of whoever types the command.
func byHand(reason string) model.Decision {
	return model.Decision{Reason: cmp.Or(reason, "decided by hand"), By: "command line"}
}

func (m localModels) List(_ context.Context, machine string) ([]fettle.Model, []model.Unusable, error) {
	list := []fettle.Model{}
	for _, one := range m.folder.List() {
		if machine == "" || one.Machine == machine {
			list = append(list, one)
		}
	}
	return list, m.folder.Problems(), nil
}

func (m localModels) Details(_ context.Context, name string) (model.Details, error) {
	return m.folder.Details(name)
}

func (m localModels) Promote(_ context.Context, name, reason string) (fettle.Model, error) {
	return m.folder.Promote(name, byHand(reason))
}

func (m localModels) Rollback(_ context.Context, machine, forecaster, reason string) (fettle.Model, error) {
	return m.folder.Rollback(machine, forecaster, byHand(reason))
}

func (m localModels) Delete(_ context.Context, name string) error { return m.folder.Delete(name) }

func (m localModels) Export(_ context.Context, name, dir, sklearn string) (string, error) {
	return m.folder.Export(name, dir, model.ExportOptions{Sklearn: sklearn})
}

func (m localModels) Import(_ context.Context, dir string, o model.ImportOptions) (fettle.Model, error) {
	return m.folder.Import(dir, o)
}

func (r *remote) Models() (modelBook, error) { return remoteModels{r}, nil }

// remoteModels are the models of the server that holds the data folder. Copying
// one takes as long as its disk takes.
type remoteModels struct{ *remote }

func modelPath(name string) string { return "/api/v1/models/" + url.PathEscape(name) }

func (m remoteModels) List(ctx context.Context, machine string) ([]fettle.Model, []model.Unusable, error) {
	var list struct {
		Models   []fettle.Model
		Problems []model.Unusable
	}
	err := m.call(ctx, http.MethodGet, "/api/v1/models?machine="+url.QueryEscape(machine), nil, &list)
	return list.Models, list.Problems, err
}

func (m remoteModels) Details(ctx context.Context, name string) (d model.Details, err error) {
	err = m.call(ctx, http.MethodGet, modelPath(name), nil, &d)
	return d, err
}

func (m remoteModels) Promote(ctx context.Context, name, reason string) (promoted fettle.Model, err error) {
	d := byHand(reason)
	err = m.call(ctx, http.MethodPost, modelPath(name)+"/promote", map[string]string{"reason": d.Reason, "by": d.By}, &promoted)
	return promoted, err
}

func (m remoteModels) Rollback(ctx context.Context, machine, forecaster, reason string) (serving fettle.Model, err error) {
	d := byHand(reason)
	wanted := map[string]string{"forecaster": forecaster, "reason": d.Reason, "by": d.By}
	err = m.call(ctx, http.MethodPost, fmt.Sprintf("/api/v1/machines/%s/rollback", url.PathEscape(machine)), wanted, &serving)
	return serving, err
}

func (m remoteModels) Delete(ctx context.Context, name string) error {
	return m.call(ctx, http.MethodDelete, modelPath(name), nil, nil)
}

func (m remoteModels) Export(ctx context.Context, name, dir, sklearn string) (string, error) {
	var made struct{ Dir string }
	wanted := map[string]string{"dir": dir, "sklearn": sklearn}
	err := m.patient().call(ctx, http.MethodPost, modelPath(name)+"/export", wanted, &made)
	return made.Dir, err
}

func (m remoteModels) Import(ctx context.Context, dir string, o model.ImportOptions) (imported fettle.Model, err error) {
	wanted := map[string]any{
		"dir": dir, "machine": o.Machine, "sensors": append([]string{}, o.Sensors...), "scaler": o.Scaler,
		"forecaster": o.Forecaster, "challenger": o.Challenger,
	}
	err = m.patient().call(ctx, http.MethodPost, "/api/v1/models", wanted, &imported)
	return imported, err
}
