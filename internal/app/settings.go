package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fettle"
	"fettle/internal/alarm"
	"fettle/internal/api"
	"fettle/internal/config"
)

// lookEvery is how often the configuration file is looked at. Its name and its
// size are asked for, no more, until they differ; fsnotify would not see a file
// that a mount or an editor puts in the place of another.
const lookEvery = time.Second

// liveSettings follows the configuration file while the server runs. What has
// changed in it and needs no restart is put in force; a file that is wrong
// changes nothing.
type liveSettings struct {
	file  string                      // "": there is none, and nothing to follow
	apply func(config.Config)         // puts live settings in force
	say   func(fettle.SettingsChange) // tells whoever follows events
	log   *slog.Logger

	inForce atomic.Pointer[config.Config] // what the server runs with now

	mu      sync.Mutex // guards what follows; held while a file is read and applied
	started config.Config
	read    config.Config // the file as it was last right
	seen    stamp         // of the file when it was last read
	wrong   string        // what is wrong with the file; "": nothing
}

// A stamp tells one content of a file from another without reading it.
type stamp struct {
	modified time.Time
	size     int64
	gone     bool
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{gone: true}
	}
	return stamp{modified: info.ModTime(), size: info.Size()}
}

// newSettings begins with what the server was started with. The command line
// may have said some of it otherwise than the file, so changes are found between
// one reading of the file and the next.
func (a *App) newSettings() *liveSettings {
	s := &liveSettings{file: a.cfg.File(), apply: a.apply, log: a.logOf("settings"), say: func(c fettle.SettingsChange) { a.flow.say(fettle.EventSettings, "", c) }}
	s.inForce.Store(&a.cfg)
	if s.file == "" {
		return s
	}
	s.seen = stampOf(s.file)
	read, err := config.Load(s.file)
	if err != nil {
		read = a.cfg // it was right a moment ago, and will be read again
		s.seen = stamp{}
	}
	s.started, s.read = read, read
	return s
}

// run looks at the file until the context ends. A file that is just being
// written has two looks that differ, so it is read at the first that does not.
func (s *liveSettings) run(ctx context.Context) error {
	if s.file == "" {
		<-ctx.Done()
		return nil
	}
	before := s.lastSeen()
	return every(ctx, lookEvery, func() {
		now := stampOf(s.file)
		if now == before && now != s.lastSeen() {
			s.Reload()
		}
		before = now
	})
}

func (s *liveSettings) lastSeen() stamp {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// Reload reads the file and puts in force what needs no restart.
func (s *liveSettings) Reload() fettle.SettingsChange {
	s.mu.Lock()
	defer s.mu.Unlock()
	change := fettle.SettingsChange{File: s.file}
	if s.file == "" {
		change.Error = "the server was started without a configuration file; `fettle serve -c FILE` has one"
		return change
	}
	s.seen = stampOf(s.file)
	read, err := config.Load(s.file)
	if err != nil {
		s.refuse(err)
		change.Error = s.wrong
		s.say(change)
		return change
	}
	if s.wrong != "" {
		s.log.Info("configuration file is right again", "file", s.file)
		s.wrong = ""
	}
	change.Changes = config.Changes(s.read, read)
	if len(change.Changes) == 0 {
		return change
	}
	next := s.inForce.Load().Adopt(s.read, read)
	s.inForce.Store(&next)
	s.read = read
	s.apply(next)
	for _, c := range change.Changes {
		if c.Live {
			s.log.Info("setting changed", "setting", c.Setting, "from", c.Old, "to", c.New)
		} else {
			s.log.Warn("setting changed in the file, in force after a restart", "setting", c.Setting, "from", c.Old, "to", c.New)
		}
	}
	s.say(change)
	return change
}

// refuse says what is wrong with a file, each fault in a line of its own.
func (s *liveSettings) refuse(err error) {
	s.wrong = err.Error()
	const goesOn = "configuration file is wrong, the old settings go on"
	var faults config.Faults
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			s.log.Error(goesOn, "where", f.Where, "field", f.Err.Field, "value", f.Err.Value, "expected", f.Err.Expected, "err", f.Err.Err)
		}
	case errors.Is(err, fs.ErrNotExist):
		s.log.Warn("configuration file is gone, the old settings go on", "file", s.file)
	default:
		s.log.Error(goesOn, "file", s.file, "err", err)
	}
}

// Settings is what is in force, and what waits for a restart.
func (s *liveSettings) Settings() api.SettingsState {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := api.SettingsState{File: s.file, Settings: s.inForce.Load().Settings(), Error: s.wrong}
	for _, c := range config.Changes(s.started, s.read) {
		if !c.Live {
			state.Waiting = append(state.Waiting, c)
		}
	}
	return state
}

// part says it in a line.
func (s *liveSettings) part() api.Part {
	state := s.Settings()
	part := api.Part{Name: "settings", State: api.PartOK, Detail: "from " + s.file}
	if s.file == "" {
		part.Detail = "defaults and environment, no file"
	}
	if len(state.Waiting) > 0 {
		names := make([]string, len(state.Waiting))
		for i, c := range state.Waiting {
			names[i] = c.Setting
		}
		part.State, part.Detail = api.PartWarning, part.Detail+"; after a restart: "+strings.Join(names, ", ")
	}
	if state.Error != "" {
		first, _, _ := strings.Cut(state.Error, "\n")
		part.State, part.Detail = api.PartWarning, fmt.Sprintf("%s is wrong, the old settings go on: %s (fettle config check)", s.file, strings.TrimSuffix(first, ":"))
	}
	return part
}

// apply puts live settings in force where somebody keeps a copy. Whoever asks
// a.current for them needs no word.
func (a *App) apply(c config.Config) {
	a.flow.forecasts.SetPace(time.Duration(c.Forecast.Interval), time.Duration(c.Forecast.Lookback))
	a.flow.alarms.SetLimits(alarmLimits(c.Alarm))
	a.web.api.SetRates(c.HTTP.KeyRate, c.HTTP.AddressRate)
	if a.Level != nil {
		if err := a.Level.UnmarshalText([]byte(c.Log.Level)); err != nil {
			panic("BUG: log level that config let through: " + c.Log.Level)
		}
	}
}

// current is what the server runs with now. Settings that need a restart are in it
// as they were at the start.
func (a *App) current() *config.Config { return a.settings.inForce.Load() }

func (a *App) pace() (interval, lookback time.Duration) {
	f := a.current().Forecast
	return time.Duration(f.Interval), time.Duration(f.Lookback)
}

func alarmLimits(c config.Alarm) alarm.Limits {
	return alarm.Limits{RaiseAbove: c.RaiseAbove, HighAbove: c.HighAbove, ClearBelow: c.ClearBelow}
}
