package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fettle"
	"fettle/internal/api"
	"fettle/internal/backup"
	"fettle/internal/broker"
	"fettle/internal/config"
	"fettle/internal/db"
	"fettle/internal/readings"
	"fettle/internal/service"
)

// A backend is where the data of a folder is had from: the server that holds
// the folder, or else the folder itself.
type backend interface {
	Machines(ctx context.Context) ([]machineRows, error)
	Readings(ctx context.Context, machine string, s stretch, yield func(fettle.Reading) error) error
	Keys() (keyRing, error)
	Backup(ctx context.Context, dir string) (backup.Note, error)
	Check(ctx context.Context) (readings.Report, error)
	Users() (userBook, error)
	Models() (modelBook, error)
	Intake(ctx context.Context, c config.Ingest) intake
	Close() error
}

// A keyRing is the API keys of a folder.
type keyRing interface {
	Create(ctx context.Context, name string, scopes []api.Scope) (text string, key api.Key, err error)
	List(ctx context.Context) ([]api.Key, error)
	Revoke(ctx context.Context, id string) error
}

// machineRows is what a query has to know of a machine.
type machineRows struct {
	Name    string    `json:"name"`
	Sensors []string  `json:"sensors"`
	Rows    int64     `json:"rows"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

// A stretch is a part of a machine's time: [from, to), and of that the newest
// last rows, or all with 0.
type stretch struct {
	from, to time.Time
	last     int
}

// openBackend finds out who holds the data folder. A server is asked; a folder
// that nobody holds is opened, and must be there already unless make is set.
func openBackend(ctx context.Context, d config.Data, make bool) (backend, error) {
	server, remoteErr := findServer(ctx, d.Dir)
	if remoteErr == nil {
		return server, nil
	}
	if make {
		if err := os.MkdirAll(d.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("make data folder: %w", err)
		}
	} else if _, err := os.Stat(d.Store()); errors.Is(err, fs.ErrNotExist) {
		return nil, fettle.Errorf(fettle.NotFound, "there is no data in %s; `fettle serve` makes it, --data or FETTLE_DATA_DIR name another folder%s", d.Dir, demoHere(d.Dir))
	}
	store, err := db.Open(d.Store(), db.Options{Log: newLogger(os.Stderr, config.Log{Level: "info", Format: "text"})}) // which tells of a takeover
	if fettle.KindOf(err) == fettle.Conflict {
		return nil, fmt.Errorf("%w, and it cannot be asked: %w", err, remoteErr)
	}
	if err != nil {
		return nil, err
	}
	rows, err := readings.Open(store, d.Dir, nil)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &folder{data: d, store: store, rows: rows}, nil
}

// demoHere points to what was perhaps meant: the demo, if one runs here, or the
// service, if there is one.
func demoHere(dir string) string {
	if _, err := config.ReadServer(demoDir); err == nil && filepath.Clean(dir) != filepath.Clean(demoDir) {
		return "; the demo's is --data " + demoDir
	}
	if spec, err := service.Here(nil).Installed(); err == nil && filepath.Clean(dir) != filepath.Clean(spec.Data) {
		return "; the service's is --data " + spec.Data
	}
	return ""
}

// A folder is a backend that opened the data folder itself.
type folder struct {
	data  config.Data
	store *db.DB
	rows  *readings.Store
}

func (f *folder) Machines(context.Context) ([]machineRows, error) {
	var list []machineRows
	for _, info := range f.rows.Machines() {
		list = append(list, machineRows{Name: info.Machine, Sensors: info.Sensors, Rows: info.Rows, First: info.First, Last: info.Last})
	}
	return list, nil
}

func (f *folder) Readings(_ context.Context, machine string, s stretch, yield func(fettle.Reading) error) error {
	to := s.to
	if to.IsZero() {
		to = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if s.last == 0 {
		return f.rows.Range(machine, s.from, to, yield)
	}
	rows, err := f.rows.Last(machine, to.Add(-time.Microsecond), s.last)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if !r.Time.Before(s.from) {
			if err := yield(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *folder) Keys() (keyRing, error) {
	keys, err := api.OpenKeys(f.store, time.Now)
	if err != nil {
		return nil, err
	}
	return localKeys{keys}, nil
}

func (f *folder) Backup(ctx context.Context, dir string) (backup.Note, error) {
	return backup.Source{
		Readings: f.rows, Store: filepath.Base(f.data.Store()), Models: f.data.Models(), Dir: f.data.Dir, Version: versionText(),
	}.Make(ctx, dir, time.Now())
}

func (f *folder) Check(ctx context.Context) (readings.Report, error) { return f.rows.Check(ctx) }

func (f *folder) Users() (userBook, error) {
	accounts, err := broker.OpenAccounts(f.store, time.Now)
	if err != nil {
		return nil, err
	}
	return localUsers{accounts}, nil
}

func (f *folder) Close() error { return f.store.Close() }

type localKeys struct{ keys *api.Keys }

func (k localKeys) Create(_ context.Context, name string, scopes []api.Scope) (text string, key api.Key, err error) {
	return k.keys.Create(name, scopes)
}

func (k localKeys) List(context.Context) ([]api.Key, error) { return k.keys.List(), nil }

func (k localKeys) Revoke(_ context.Context, id string) error { return k.keys.Revoke(id) }
