package api

import (
	"cmp"
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"fettle"
	"fettle/internal/model"
)

// addModels describes the versions of models. To look is for everybody who may
// read; to decide which of them serves is administration: everything that
// people are told hangs on it.
func (a *API) addModels() {
	add(a, Read, get("/models", "list-models", tagModels, "Versions of forecasting models"),
		func(_ context.Context, in *struct {
			Machine string `query:"machine" doc:"Only those of this machine"`
		}) (*answer[modelList], error) {
			list := modelList{[]fettle.Model{}, append([]model.Unusable{}, a.Registry.Problems()...)}
			for _, m := range a.Models() {
				if in.Machine == "" || m.Machine == in.Machine {
					list.Models = append(list.Models, m)
				}
			}
			return &answer[modelList]{list}, nil
		})

	add(a, Read, get("/models/{name}", "get-model", tagModels, "One version: how it came about, how good it is, what was decided about it"),
		func(_ context.Context, in *modelPath) (*answer[model.Details], error) {
			details, err := a.Registry.Details(in.Name)
			return &answer[model.Details]{details}, err
		})

	add(a, Read, get("/machines/{machine}/decisions", "list-decisions", tagModels, "What was decided about a machine's models, oldest first"),
		func(_ context.Context, in *struct {
			Machine string `path:"machine"`
		}) (*answer[decisionList], error) {
			return &answer[decisionList]{decisionList{append([]model.Decided{}, a.Registry.History(in.Machine)...)}}, nil
		})

	a.addModelDecisions()
	a.addModelCopies()
}

// addModelDecisions describes what changes which version serves.
func (a *API) addModelDecisions() {
	op := modelPost("/api/v1/models/{name}/promote", "promote-model", "Let a version serve, at once")
	add(a, Admin, op, func(ctx context.Context, in *modelDecision) (*answer[fettle.Model], error) {
		m, err := a.Registry.Promote(in.Name, in.Body.decision(ctx))
		return &answer[fettle.Model]{m}, err
	})

	op = modelPost("/api/v1/models/{name}/refuse", "refuse-model", "Say why a challenger shall not serve")
	add(a, Admin, op, func(ctx context.Context, in *modelDecision) (*answer[fettle.Model], error) {
		m, err := a.Registry.Refuse(in.Name, in.Body.decision(ctx))
		return &answer[fettle.Model]{m}, err
	})

	op = modelPost("/api/v1/machines/{machine}/rollback", "roll-back-model", "Let the version serve again that served before, and refuse the one that serves")
	add(a, Admin, op, func(ctx context.Context, in *struct {
		Machine string `path:"machine"`
		Body    *rollback
	}) (*answer[fettle.Model], error) {
		if in.Body == nil {
			in.Body = &rollback{}
		}
		m, err := a.Registry.Rollback(in.Machine, cmp.Or(in.Body.Forecaster, fettle.ShortForecaster), (&decisionRequest{in.Body.Reason, in.Body.By}).decision(ctx))
		return &answer[fettle.Model]{m}, err
	})

	op = huma.Operation{
		Method: http.MethodDelete, Path: "/api/v1/models/{name}", OperationID: "delete-model", Tags: []string{tagModels},
		Summary: "Delete a version that does not serve, or a folder that cannot be used",
	}
	add(a, Admin, op, func(_ context.Context, in *modelPath) (*struct{}, error) {
		return nil, a.Registry.Delete(in.Name)
	})
}

// addModelCopies describes import and export. Both name folders of the computer
// that the server runs on.
func (a *API) addModelCopies() {
	op := modelPost("/api/v1/models", "import-model", "Import a folder that transformers wrote, or that was exported")
	op.DefaultStatus = http.StatusCreated
	add(a, Admin, op, func(_ context.Context, in *answer[importRequest]) (*answer[fettle.Model], error) {
		m, err := a.Registry.Import(in.Body.Dir, model.ImportOptions{
			Machine: in.Body.Machine, Sensors: in.Body.Sensors, Scaler: in.Body.Scaler,
			Forecaster: in.Body.Forecaster, Challenger: in.Body.Challenger,
		})
		return &answer[fettle.Model]{m}, err
	})

	op = modelPost("/api/v1/models/{name}/export", "export-model", "Copy a version to a new folder that transformers and scikit-learn read")
	add(a, Admin, op, func(_ context.Context, in *struct {
		Name string `path:"name"`
		Body exportRequest
	}) (*answer[exported], error) {
		dir, err := a.Registry.Export(in.Name, in.Body.Dir, model.ExportOptions{Sklearn: in.Body.Sklearn})
		return &answer[exported]{exported{dir}}, err
	})
}

func modelPost(path, id, summary string) huma.Operation {
	return huma.Operation{Method: http.MethodPost, Path: path, OperationID: id, Tags: []string{tagModels}, Summary: summary, MaxBodyBytes: smallBody}
}

type modelList struct {
	Models   []fettle.Model   `json:"models" doc:"By machine, then oldest first"`
	Problems []model.Unusable `json:"problems" doc:"Folders and decisions that cannot be used"`
}

type decisionList struct {
	Decisions []model.Decided `json:"decisions" doc:"The last 100"`
}

type modelPath struct {
	Name string `path:"name" doc:"Folder name, model_<machine>_<YYYYMMDD_HHMMSS>"`
}

type modelDecision struct {
	Name string `path:"name"`
	Body *decisionRequest
}

type decisionRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Why, for people"`
	By     string `json:"by,omitempty" maxLength:"128" doc:"Who decides; absent: the key's name"`
}

func (d *decisionRequest) decision(ctx context.Context) model.Decision {
	if d == nil {
		d = &decisionRequest{}
	}
	return model.Decision{Reason: cmp.Or(d.Reason, "decided by hand"), By: cmp.Or(d.By, callerOf(ctx).name)}
}

type rollback struct {
	Forecaster string `json:"forecaster,omitempty" doc:"Absent: short"`
	Reason     string `json:"reason,omitempty" maxLength:"500" doc:"Why, for people"`
	By         string `json:"by,omitempty" maxLength:"128" doc:"Who decides; absent: the key's name"`
}

type importRequest struct {
	Dir        string   `json:"dir" doc:"Folder, as the server sees it"`
	Machine    string   `json:"machine,omitempty" doc:"Absent: from the folder's name or card"`
	Sensors    []string `json:"sensors,omitempty" doc:"Absent: from the card, the scaler, or the old system's six"`
	Scaler     string   `json:"scaler,omitempty" doc:"Absent: found in the folder or beside it"`
	Forecaster string   `json:"forecaster,omitempty" doc:"Absent: from the card, else short"`
	Challenger bool     `json:"challenger,omitempty" doc:"It waits to be promoted, instead of serving at once"`
}

type exportRequest struct {
	Dir     string `json:"dir" doc:"New folder, as the server sees it"`
	Sklearn string `json:"sklearn,omitempty" maxLength:"32" doc:"Version of scikit-learn that will read the scaler; absent: 1.3.1"`
}

type exported struct {
	Dir string `json:"dir"`
}
