//go:build story

package forecast

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The regression reaches what was published for it on the ETTh1 benchmark:
// seven hourly channels of a transformer; 12, 4 and 4 months of 30 days to fit,
// to choose on, and to test; scaled by the first part's mean and deviation;
// every window, over the borders too; look-back 336.
func TestRidgeOnETTh1(t *testing.T) {
	const (
		fit, choose, test = 8640, 8640 + 2880, 8640 + 2*2880
		back              = 336
	)
	channels := readETT(t, filepath.Join(os.Getenv("FETTLE_DATA"), "ett", "ETTh1.csv"), test)
	for i, channel := range channels {
		channels[i] = standardised(channel, fit)
	}
	for _, c := range []struct {
		horizon int
		want    float64
	}{{96, .370}, {192, .403}, {336, .426}, {720, .420}} {
		grams := map[string]*gram{"fit": newGram(back, c.horizon), "choose": newGram(back, c.horizon), "test": newGram(back, c.horizon)}
		for _, z := range channels {
			grams["fit"].add(z[:fit])
			grams["choose"].add(z[fit-back : choose])
			grams["test"].add(z[choose-back : test])
		}
		chosen, err := choosePenalty(grams["fit"].centred(), grams["choose"].centred())
		if err != nil {
			t.Fatal(err)
		}
		mse := grams["test"].centred().meanSquare(chosen.weights)
		t.Logf("horizon %d: MSE %.4f (published %.3f), penalty %g, %d test windows, last value %.4f",
			c.horizon, mse, c.want, chosen.penalty, grams["test"].windows, grams["test"].seasonalError(1))
		if math.Abs(mse-c.want) > .002 {
			t.Errorf("horizon %d: MSE %.4f, published %.3f", c.horizon, mse, c.want)
		}
	}
}

func readETT(t *testing.T, path string, rows int) [][]float64 {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v; set FETTLE_DATA to the folder that holds ett/ETTh1.csv", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Scan() // names
	var channels [][]float64
	for row := 0; row < rows && lines.Scan(); row++ {
		cells := strings.Split(lines.Text(), ",")[1:]
		if channels == nil {
			channels = make([][]float64, len(cells))
		}
		for i, cell := range cells {
			v, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				t.Fatalf("row %d: %v", row, err)
			}
			channels[i] = append(channels[i], v)
		}
	}
	return channels
}

func standardised(values []float64, fit int) []float64 {
	mean := meanOf(values[:fit])
	var sum float64
	for _, v := range values[:fit] {
		sum += (v - mean) * (v - mean)
	}
	deviation := math.Sqrt(sum / float64(fit))
	z := make([]float64, len(values))
	for i, v := range values {
		z[i] = (v - mean) / deviation
	}
	return z
}
