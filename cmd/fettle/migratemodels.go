package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"fettle"
	"fettle/internal/model"
)

// An oldModel is a folder of the old system's that is to be imported.
type oldModel struct {
	Name    string `json:"name"`
	Machine string `json:"machine"`
	Problem string `json:"problem,omitempty"` // why it cannot be
	dir     string
}

var modelFolder = regexp.MustCompile(`^model_.+_\d{8}_\d{6}$`)

// oldModels looks through a folder of models; "" has none.
func oldModels(dir string) ([]oldModel, error) {
	if dir == "" {
		return nil, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fettle.Errorf(fettle.NotFound, "there is no folder of models %s; the old system's is spark-apps/models", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read folder of models: %w", err)
	}
	var list []oldModel
	for _, entry := range entries {
		if !modelFolder.MatchString(entry.Name()) {
			continue
		}
		one := oldModel{Name: entry.Name(), dir: filepath.Join(dir, entry.Name())}
		if v, err := model.Read(one.dir); err != nil {
			one.Problem = err.Error()
		} else {
			one.Machine = v.Machine
		}
		list = append(list, one)
	}
	if len(list) == 0 {
		return nil, fettle.Errorf(fettle.NotFound, "%s holds no folder model_<machine>_<YYYYMMDD_HHMMSS>; the old system's folder of models is spark-apps/models", dir)
	}
	// The newest of a machine comes last, and serves.
	slices.SortFunc(list, func(a, b oldModel) int { return strings.Compare(stampOf(a.Name), stampOf(b.Name)) })
	return list, nil
}

func stampOf(name string) string { return name[len(name)-len("20060102_150405"):] }

// A movedModel is what became of one.
type movedModel struct {
	oldModel
	Imported *fettle.Model `json:"imported,omitempty"`
	Before   bool          `json:"before,omitempty"` // an earlier run has imported it
}

// moveModels imports models, the oldest first. One that cannot be used stops no
// other.
func moveModels(ctx context.Context, data backend, old []oldModel) ([]movedModel, error) {
	if len(old) == 0 {
		return nil, nil
	}
	book, err := data.Models()
	if err != nil {
		return nil, err
	}
	have, _, err := book.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var list []movedModel
	for _, one := range old {
		m := movedModel{oldModel: one}
		i := slices.IndexFunc(have, func(h fettle.Model) bool { return h.Machine == one.Machine && h.Created.Equal(createdOf(one.Name)) })
		switch {
		case one.Problem != "":
		case i >= 0:
			m.Imported, m.Before = &have[i], true
		default:
			imported, err := book.Import(ctx, one.dir, model.ImportOptions{})
			if ctx.Err() != nil {
				return list, err
			}
			if m.Imported = &imported; err != nil {
				m.Imported, m.Problem = nil, err.Error()
			}
		}
		list = append(list, m)
	}
	return list, nil
}

// createdOf is the time in a model's name.
func createdOf(name string) time.Time {
	at, _ := time.Parse("20060102_150405", stampOf(name)) // no time: no model has it
	return at
}
