package readings

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"fettle/internal/days"
	"fettle/internal/db"
)

// errBroken says that a file is not what the catalogue lists: missing, cut off,
// changed, or unreadable in spite of a right checksum.
var errBroken = errors.New("file is damaged")

// inMemory is up to which size a file is read into memory as a whole, in bytes.
const inMemory = 8 << 20

// crcTable is read only.
var crcTable = crc32.MakeTable(crc32.Castagnoli)

// A dayFile is a file of a closed day, compared with the catalogue and opened.
type dayFile struct {
	*days.Reader
	version *version // that it belongs to
	file    io.Closer
}

func (f *dayFile) Close() error { return f.file.Close() }

// openFile opens a file that a day's record lists. errBroken: it is not as the
// record says.
func (s *Store) openFile(machine string, d *day, k Kind) (*dayFile, error) {
	name := s.fileOf(k, machine, d.at)
	file, size, err := s.files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing", errBroken, name)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	opened, err := openChecked(file, size, d, k)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), file.Close())
	}
	return opened, nil
}

func openChecked(file db.ReadFile, size int64, d *day, k Kind) (*dayFile, error) {
	var content io.ReaderAt = file
	sizes := size == d.files[k].size || d.next != nil && size == d.next.files[k].size
	if !sizes {
		return nil, fmt.Errorf("%w: %d bytes long, expected %d", errBroken, size, d.files[k].size)
	}
	crc := crc32.New(crcTable)
	if size <= inMemory {
		buffer := make([]byte, size)
		if _, err := io.ReadFull(file, buffer); err != nil {
			return nil, err
		}
		crc.Write(buffer)
		content = bytes.NewReader(buffer)
	} else if _, err := io.Copy(crc, file); err != nil {
		return nil, err
	}
	version := d.fits(k, sum{size, crc.Sum32()})
	if version == nil {
		return nil, fmt.Errorf("%w: checksum is %08x, expected %08x", errBroken, crc.Sum32(), d.files[k].crc)
	}
	reader, err := days.Open(content, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return &dayFile{reader, version, file}, nil
}

// A meter passes on what is written and sums it up.
type meter struct {
	out io.Writer
	sum sum
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.out.Write(p)
	m.sum.size += int64(n)
	m.sum.crc = crc32.Update(m.sum.crc, crcTable, p[:n])
	return n, err
}
