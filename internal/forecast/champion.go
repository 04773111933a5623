package forecast

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"fettle"
	"fettle/internal/model"
	"fettle/internal/readings"
	"fettle/patchtst"
)

// A predictor is one model version, loaded and ready. It does not change but
// for its band, and may be used by any number of goroutines.
type predictor struct {
	model       fettle.Model
	fingerprint string        // of the files that it was loaded from
	scale       []fettle.Span // (sensors) what it was fitted on

	// together tells that it takes the columns of all its sensors at once; else
	// any of them will do.
	together bool
	// predict turns columns (sensors, context) into forecasts (sensors,
	// horizon), both in the sensors' own units.
	predict func(columns [][]float64) [][]float64

	ridge  *ridge    // nil for other families
	unseen time.Time // event time from which on it saw nothing while it was trained; zero: not known
	season int       // of the machine's rows, in rows, as the newest ridge found it; 0 if there is none
	bands  atomic.Pointer[[]band]
	broken error // why it cannot be used; all else is empty then
	warned bool  // guarded by the machine's memory: somebody was told
}

// width is the rows of a window with what followed it.
func (f *predictor) width() int { return f.model.Context + f.model.Horizon }

// step is what the model was fitted on; 0 if it does not say.
func (f *predictor) step() time.Duration {
	return time.Duration(math.Round(f.model.StepSeconds * float64(time.Second)))
}

// bandsNow is empty while there is no band.
func (f *predictor) bandsNow() []band {
	if bands := f.bands.Load(); bands != nil {
		return *bands
	}
	return nil
}

// champion returns the model that forecasts a machine now: the folder's
// champion or, if that cannot be used, the machine's newest ridge. Unavailable
// if there is none yet.
func (e *Engine) champion(m *memory, info readings.Info) (*predictor, error) {
	f, err := e.loadedChampion(m, info)
	if f == nil {
		return nil, err
	}
	e.makeRoom(m)
	return f, nil
}

// makeRoom notes that a machine's forecaster has just used its models, and has
// others forget theirs if there is no room for all.
func (e *Engine) makeRoom(m *memory) {
	var bytes int64
	m.mu.Lock()
	for _, f := range m.loaded {
		bytes += f.bytes()
	}
	m.mu.Unlock()
	for _, other := range e.shelf.use(m, bytes) {
		other.mu.Lock()
		other.forgetModels()
		other.mu.Unlock()
	}
}

func (e *Engine) loadedChampion(m *memory, info readings.Info) (*predictor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	version, found := e.models.Champion(m.machine, m.plan.Name)
	if !found {
		m.forgetModels()
		rows := m.plan.rowsUntil(info, info.Last)
		if !m.counted.at.IsZero() {
			rows = m.counted.rows // in back-fill those up to now, not all
		}
		return nil, e.noModel(m, info, rows)
	}
	shadow, _ := e.models.Waiting(m.machine, m.plan.Name)
	f := e.load(m, version)
	err := f.usable(m.plan, info.Sensors)
	if err == nil {
		m.forgetModels(version.Name, shadow.Name)
		return f, nil
	}
	if !f.warned {
		f.warned = true
		e.log.Warn("champion cannot be used", "machine", m.machine, "err", err)
	}
	if version.Family == model.Ridge {
		return nil, err
	}
	stand, found := e.newestRidge(m)
	if !found {
		m.forgetModels(version.Name, shadow.Name)
		return nil, err
	}
	m.forgetModels(version.Name, stand.Name, shadow.Name)
	g := e.load(m, stand)
	if g.usable(m.plan, info.Sensors) != nil {
		return nil, err
	}
	return g, nil
}

// noModel says why a machine of so many rows, without any model, has none. The
// memory's mutex is held.
func (e *Engine) noModel(m *memory, info readings.Info, rows int64) error {
	if m.unfit != nil {
		return m.unfit
	}
	if need := m.plan.firstFit(); rows < need {
		return notEnough(NotEnough{Have: int(rows), Need: int(need), What: m.plan.rowsWord() + " to fit from", Until: m.plan.enoughAt(info, need)})
	}
	return pending(errors.New("no model has been fitted yet"))
}

// load loads a version once; one that fails is remembered too, and not read
// again and again. The memory's mutex is held.
func (e *Engine) load(m *memory, version model.Version) *predictor {
	if f, found := m.loaded[version.Name]; found && f.fingerprint == version.Fingerprint {
		return f
	}
	f, err := loadVersion(version)
	if err != nil {
		f = &predictor{model: version.Model, broken: unusable(version.Name, err)}
	}
	f.fingerprint = version.Fingerprint
	f.season = e.season(m, f)
	if b := m.Band; b != nil && b.Model == version.Name && len(b.Sensors) == len(f.scale) {
		f.bands.Store(&b.Sensors)
	}
	m.loaded[version.Name] = f
	return f
}

// season finds a model's season: the ridge's own, or the newest ridge's.
func (e *Engine) season(m *memory, f *predictor) int {
	if f.ridge != nil {
		return f.ridge.HeldOut.Season
	}
	newest, found := e.newestRidge(m)
	if !found {
		return 0
	}
	r, err := openRidge(newest.Dir)
	if err != nil {
		return 0
	}
	return r.HeldOut.Season
}

// forgetModels drops all loaded models but those named.
func (m *memory) forgetModels(but ...string) {
	for name := range m.loaded {
		if !slices.Contains(but, name) {
			delete(m.loaded, name)
		}
	}
}

// usable tells why a model cannot serve a forecaster of a machine that has these
// sensors.
func (f *predictor) usable(plan Forecaster, sensors []string) error {
	if f.broken != nil {
		return f.broken
	}
	if step := f.step(); !plan.own() && step > 0 && step != plan.Step {
		return unusable(f.model.Name, fmt.Errorf("it was fitted on steps of %s, and a step of %s is %s", step, plan.Name, plan.Step))
	}
	if !f.together {
		return nil
	}
	for _, name := range f.model.Sensors {
		if _, found := slices.BinarySearch(sensors, name); !found {
			return unusable(f.model.Name, fmt.Errorf("the machine has no sensor %q; it has %q", name, sensors))
		}
	}
	return nil
}

func loadVersion(version model.Version) (*predictor, error) {
	switch version.Family {
	case model.Ridge:
		return loadRidge(version)
	case model.PatchTST:
		return loadPatchTST(version)
	default:
		return nil, fettle.BadField("unknown family", "family", version.Family, model.Ridge+" or "+model.PatchTST)
	}
}

func loadRidge(version model.Version) (*predictor, error) {
	if err := version.CheckWeights(); err != nil {
		return nil, err
	}
	r, err := openRidge(version.Dir)
	if err != nil {
		return nil, err
	}
	return forecastRidge(version.Model, r), nil
}

func forecastRidge(m fettle.Model, r *ridge) *predictor {
	f := &predictor{model: m, ridge: r, scale: make([]fettle.Span, len(r.Sensors))}
	f.model.Context, f.model.Horizon, f.model.StepSeconds = r.Context, r.Horizon, r.StepSeconds
	f.model.Sensors = make([]string, len(r.Sensors))
	bands := make([]band, len(r.Sensors))
	for i, s := range r.Sensors {
		f.model.Sensors[i], f.scale[i], bands[i] = s.Name, s.Span, s.band
	}
	f.bands.Store(&bands)
	f.predict = func(columns [][]float64) [][]float64 {
		ahead := make([][]float64, len(columns))
		for i, column := range columns {
			ahead[i] = extrapolate(r.Weights, column)
		}
		return ahead
	}
	return f
}

func loadPatchTST(version model.Version) (*predictor, error) {
	if version.Scaler == nil {
		return nil, errors.New("it has no scaler")
	}
	if err := version.CheckWeights(); err != nil {
		return nil, err
	}
	network, err := patchtst.Load(version.Dir)
	if err != nil {
		return nil, err
	}
	config, scaler := network.Config(), version.Scaler
	if n := len(version.Sensors); n != config.Channels || n != scaler.Width() {
		return nil, fmt.Errorf("it names %d sensors, its network has %d channels and its scaler %d", n, config.Channels, scaler.Width())
	}
	if version.StepSeconds > maxStep.Seconds() {
		return nil, fettle.BadField("bad model card", "step_seconds", fmt.Sprint(version.StepSeconds), fmt.Sprintf("at most %.0f", maxStep.Seconds()))
	}
	f := &predictor{model: version.Model, together: true, scale: make([]fettle.Span, config.Channels)}
	f.model.Context, f.model.Horizon = config.ContextLength, config.PredictionLength
	for i := range f.scale {
		f.scale[i] = fettle.Span{Low: scaler.DataMin[i], High: scaler.DataMax[i]}
	}
	if how := version.Training; how != nil {
		f.unseen = how.ScoredFrom
	}
	f.predict = func(columns [][]float64) [][]float64 { return predictPatchTST(network, scaler, columns) }
	return f, nil
}

// predictPatchTST scales columns as the model's training did, clips them to
// 0..1 if it did so as the old system's does, and scales the forecast back.
func predictPatchTST(network *patchtst.Model, scaler *model.Scaler, columns [][]float64) [][]float64 {
	config := network.Config()
	x := make([]float32, config.ContextLength*config.Channels) // (context, channels)
	for c, column := range columns {
		for t, v := range column {
			scaled := scaler.Transform(c, v)
			if !scaler.Unclipped {
				scaled = max(0, min(1, scaled))
			}
			x[t*config.Channels+c] = float32(scaled)
		}
	}
	y := network.Forward(nil, x) // (horizon, channels)
	ahead := make([][]float64, config.Channels)
	for c := range ahead {
		ahead[c] = make([]float64, config.PredictionLength)
		for h := range ahead[c] {
			ahead[c][h] = scaler.Inverse(c, float64(y[h*config.Channels+c]))
		}
	}
	return ahead
}
