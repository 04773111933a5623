package days

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go"
)

// A Reader reads a file of a Writer's, column by column. It is not safe for
// concurrent use.
type Reader struct {
	file    *parquet.File
	sensors []string
	tags    bool
}

var errForeign = errors.New("not a file of readings")

// Open reads the directory of a file. Only for files whose checksum is right.
func Open(r io.ReaderAt, size int64) (reader *Reader, err error) {
	defer survive("open file", &err)
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	reader = &Reader{file: file}
	for i, f := range file.Schema().Fields() {
		switch {
		case i == 0 && f.Name() != timeColumn, !f.Leaf():
			return nil, fmt.Errorf("open file: column %q: %w", f.Name(), errForeign)
		case i == 0:
		case f.Name() == tagsColumn:
			reader.tags = true
		default:
			reader.sensors = append(reader.sensors, sensorOf(f.Name()))
		}
	}
	return reader, nil
}

// Sensors lists the sensors of the file, sorted.
func (r *Reader) Sensors() []string { return r.sensors }

// Groups counts the row groups.
func (r *Reader) Groups() int { return len(r.file.RowGroups()) }

// Rows counts the rows of a group.
func (r *Reader) Rows(group int) int { return int(r.file.RowGroups()[group].NumRows()) }

// Times reads the times of a group into dst, which has a place for each row.
func (r *Reader) Times(group int, dst []int64) (err error) {
	defer survive("read times", &err)
	return r.pages(stretch{group, 0, 0, len(dst)}, func(page parquet.Page, at int) error {
		data := page.Data()
		values := data.Int64()
		if len(values) != int(page.NumRows()) {
			return errForeign
		}
		copy(dst[at:], values)
		return nil
	})
}

// Column reads one sensor's values of a group, from a row on, into dst; NaN where
// it was silent.
func (r *Reader) Column(group, sensor, from int, dst []float64) (err error) {
	defer survive("read column", &err)
	return r.pages(stretch{group, 1 + sensor, from, from + len(dst)}, func(page parquet.Page, at int) error {
		return fill(dst[at:at+int(page.NumRows())], page)
	})
}

// fill decodes a page of numbers.
func fill(dst []float64, page parquet.Page) error {
	levels := page.DefinitionLevels()
	present := len(dst)
	if levels != nil {
		present = 0
		for _, level := range levels {
			present += int(level)
		}
	}
	data := page.Data()
	if page.Dictionary() == nil {
		values := data.Double()
		if len(values) != present || levels != nil && len(levels) != len(dst) {
			return errForeign
		}
		if present == len(dst) {
			copy(dst, values)
			return nil
		}
		spread(dst, levels, func(i int) float64 { return values[i] })
		return nil
	}
	dictionary := page.Dictionary().Page().Data()
	indexes, values := data.Int32(), dictionary.Double()
	if len(indexes) != present || levels != nil && len(levels) != len(dst) {
		return errForeign
	}
	if present == len(dst) {
		for i, index := range indexes {
			dst[i] = values[index]
		}
		return nil
	}
	spread(dst, levels, func(i int) float64 { return values[indexes[i]] })
	return nil
}

// spread puts the values that are there where their levels say.
func spread(dst []float64, levels []byte, value func(i int) float64) {
	next := 0
	for row, level := range levels {
		if level == 0 {
			dst[row] = math.NaN()
			continue
		}
		dst[row] = value(next)
		next++
	}
}

// Tags reads the tags of rows of a group, nil if no row of the file has any.
func (r *Reader) Tags(group, from, to int) (tags []string, err error) {
	defer survive("read tags", &err)
	if !r.tags {
		return nil, nil
	}
	tags = make([]string, to-from)
	shared := map[string]string{}
	values := make([]parquet.Value, blockRows)
	err = r.pages(stretch{group, 1 + len(r.sensors), from, to}, func(page parquet.Page, at int) error {
		reader := page.Values()
		for {
			n, err := reader.ReadValues(values)
			for _, v := range values[:n] {
				if !v.IsNull() {
					text := v.ByteArray()
					if shared[string(text)] == "" {
						shared[string(text)] = string(text)
					}
					tags[at] = shared[string(text)]
				}
				at++
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	return tags, err
}

// A stretch is rows from..to-1 of a column of a group.
type stretch struct{ group, column, from, to int }

// pages hands out the pages of a stretch, cut to it, with the row of it that each
// begins at.
func (r *Reader) pages(s stretch, use func(page parquet.Page, at int) error) (err error) {
	chunks := r.file.RowGroups()[s.group].ColumnChunks()
	if s.column >= len(chunks) {
		return fmt.Errorf("read column %d of %d: %w", s.column, len(chunks), errForeign)
	}
	pages := chunks[s.column].Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	for at := 0; at < s.to; {
		page, err := pages.ReadPage()
		if err != nil {
			return fmt.Errorf("read column %d: %w", s.column, err)
		}
		n := int(page.NumRows())
		if from, to := max(s.from, at), min(s.to, at+n); from < to {
			part := page
			if to-from < n {
				part = page.Slice(int64(from-at), int64(to-at))
			}
			err = use(part, from-s.from)
		}
		parquet.Release(page)
		if err != nil {
			return fmt.Errorf("read column %d: %w", s.column, err)
		}
		at += n
	}
	return nil
}
