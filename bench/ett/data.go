package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"fettle/patchtst"
)

// The benchmark's table and its parts, in rows.
const (
	channels = 7
	trainEnd = 8640
	validEnd = trainEnd + 2880
	testEnd  = validEnd + 2880
)

// A dataset is the benchmark's rows, (rows, channels), scaled.
type dataset []float32

// read reads the table and scales it by the training part.
func read(path string) (dataset, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := csv.NewReader(file)
	lines.FieldsPerRecord = 1 + channels
	records, err := lines.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(records) < 1+testEnd {
		return nil, fmt.Errorf("read %s: %d rows; expected at least %d", path, len(records)-1, testEnd)
	}
	values := make(dataset, testEnd*channels)
	column := make([]float64, testEnd)
	for c := range channels {
		for row := range testEnd {
			if column[row], err = strconv.ParseFloat(records[1+row][1+c], 64); err != nil {
				return nil, fmt.Errorf("read %s: line %d: %w", path, row+2, err)
			}
		}
		mean, deviation := moments(column[:trainEnd])
		for row, v := range column {
			values[row*channels+c] = float32((v - mean) / deviation)
		}
	}
	return values, nil
}

func moments(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean) / float64(len(values))
	}
	return mean, math.Sqrt(deviation)
}

// parts are what is trained on, validated on and tested on; the latter two look
// back over their border.
func (d dataset) parts(back int) (training, validation, test patchtst.Series) {
	rows := func(from, to int) patchtst.Series { return patchtst.Series{Values: d[from*channels : to*channels]} }
	return rows(0, trainEnd), rows(trainEnd-back, validEnd), rows(validEnd-back, testEnd)
}

// processor is the processor's name, as far as the system tells.
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "an unknown processor"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "an unknown processor"
}
