package patchtst

import (
	"math"
	"runtime"
	"strings"
	"testing"
)

// TestPlans looks at the two presets: work as the formula of PatchTST's
// products has it, memory within the bounds that trainings are given.
func TestPlans(t *testing.T) {
	day := 24 * 3600 // rows, one a second
	for _, c := range []struct {
		name       string
		config     Config
		batch      int
		parameters int
		forward    float64 // FLOPs of a forecast
		megabytes  float64
	}{
		{"deployed", Deployed(), 32, 269_962, 75.8e6, 80},
		{"research", Research(), 16, 1_220_848, 6.947e9, 900},
	} {
		o := NewOptions()
		o.Batch, o.Epochs, o.Threads, o.ValidationShare, o.WindowsPerEpoch = c.batch, 2, 2, 0, 1000
		p, err := PlanFit(c.config, day, o)
		if err != nil {
			t.Fatal(err)
		}
		steps := 2 * ((1000 + c.batch - 1) / c.batch)
		if p.Parameters != c.parameters || p.Steps != steps || p.Windows != 1000 || p.ValidationWindows != 0 {
			t.Errorf("%s: %+v", c.name, p)
		}
		if want := 2 * 1000 * 3 * c.forward; math.Abs(p.FLOPs/want-1) > 1e-3 {
			t.Errorf("%s: %.4g FLOPs; want %.4g", c.name, p.FLOPs, want)
		}
		if got := float64(p.Bytes) / 1e6; got > c.megabytes || got < c.megabytes/2 {
			t.Errorf("%s: %.1f MB; want at most %.0f", c.name, got, c.megabytes)
		}
		if p.Time <= 0 {
			t.Errorf("%s: takes %v", c.name, p.Time)
		}
	}
}

// TestPlanCountsWindows as Fit does.
func TestPlanCountsWindows(t *testing.T) {
	c := small()
	for _, rows := range []int{40, 75, 100, 101} {
		for _, stride := range []int{1, 3} {
			for _, share := range []float64{0, 0.2, 0.5} {
				o := quick()
				o.Epochs, o.Stride, o.ValidationShare = 1, stride, share
				plan, err := PlanFit(c, rows, o)
				if err != nil && strings.Contains(err.Error(), "no window") {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				report, err := Fit(t.Context(), mustNew(t, c), waves(rows, c.Channels), o)
				if err != nil {
					t.Fatal(err)
				}
				if plan.Windows != report.Windows || plan.ValidationWindows != report.ValidationWindows || plan.Steps != report.Steps {
					t.Errorf("%d rows, stride %d, share %v: planned %+v; it was %+v", rows, stride, share, plan, report)
				}
			}
		}
	}
}

// TestPlanKeepsItsWord compares a plan's memory with all that a training takes
// from the heap. It does not validate: the plan's memory for that is kept in a
// pool, from which the garbage collector may take it at any time.
func TestPlanKeepsItsWord(t *testing.T) {
	dropping := Deployed()
	dropouts(&dropping)
	for _, v := range []struct {
		name           string
		config         Config
		batch, threads int
		precision      Precision
	}{
		{"deployed", Deployed(), 32, 1, Float32},
		{"deployed, bfloat16", Deployed(), 32, 1, BFloat16},
		{"deployed, two threads", Deployed(), 8, 2, BFloat16},
		{"deployed, dropout", dropping, 8, 1, Float32},
		{"research", Research(), 1, 1, Float32},
		{"research, bfloat16", Research(), 1, 2, BFloat16},
	} {
		t.Run(v.name, func(t *testing.T) {
			o, rows := NewOptions(), v.config.ContextLength+v.config.PredictionLength
			o.Batch, o.Epochs, o.Threads, o.ValidationShare, o.Precision = v.batch, 1, v.threads, 0, v.precision
			m, series := mustNew(t, v.config), waves(rows, v.config.Channels)
			plan, err := PlanFit(v.config, rows, o)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := Fit(t.Context(), m, series, o); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if took := float64(after.TotalAlloc-before.TotalAlloc) / float64(plan.Bytes); took > 1.02 || took < 0.6 {
				t.Errorf("training took %.2f times the plan's %.1f MB", took, float64(plan.Bytes)/1e6)
			}
		})
	}
}

func TestRefusesPlans(t *testing.T) {
	c, o := small(), quick()
	if _, err := PlanFit(c, 10, o); err == nil || !strings.Contains(err.Error(), "patchtst: plan: no window of 15 rows in 8 rows") {
		t.Errorf("error %v", err)
	}
	o.Batch = 0
	if _, err := PlanFit(c, 100, o); err == nil || !strings.Contains(err.Error(), "patchtst: plan: option Batch is 0") {
		t.Errorf("error %v", err)
	}
	c.Heads = 3
	if _, err := PlanFit(c, 100, o); err == nil || !strings.Contains(err.Error(), "patchtst: plan: config: d_model is 4; expected a multiple of num_attention_heads") {
		t.Errorf("error %v", err)
	}
}
