package readings

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fettle/internal/db"
)

// A Kind is what a file of a closed day holds.
type Kind int

// The kinds of files: the readings themselves, and what each sensor did in each
// minute and each hour (rollup.go).
const (
	Raw Kind = iota
	Minute
	Hour
	kinds = 3
)

func (k Kind) String() string { return [kinds]string{"raw", "1m", "1h"}[k] }

// folder is where files of the kind are, below the data folder.
func (k Kind) folder() string {
	if k == Raw {
		return "readings"
	}
	return filepath.Join("rollups", k.String())
}

// width is a rollup's bucket, in microseconds.
func (k Kind) width() int64 { return [kinds]int64{0, minuteMicros, hourMicros}[k] }

// In microseconds. Days are days of UTC.
const (
	minuteMicros = 60_000_000
	hourMicros   = 60 * minuteMicros
	dayMicros    = 24 * hourMicros
)

// dayOf is when the day of a time begins.
func dayOf(micros int64) int64 { return floorTo(micros, dayMicros) }

func floorTo(micros, width int64) int64 {
	rest := micros % width
	if rest < 0 {
		rest += width
	}
	return micros - rest
}

// A sum is what a file must look like; size 0: there is no file.
type sum struct {
	size int64
	crc  uint32 // CRC-32C of the whole file
}

// A version of a day's files.
type version struct {
	files       [kinds]sum
	rows        int64 // in the raw file
	first, last int64 // of them
}

// A day is what the catalogue says of a machine's closed day.
type day struct {
	at int64 // when it begins; in the key
	version
	next    *version // while the files are replaced, one by one, by these
	damaged bool     // the raw file could not be read, and was set aside
}

func (d *day) end() int64 { return d.at + dayMicros }

// has tells whether there is a file of a kind.
func (d *day) has(k Kind) bool { return d.files[k].size > 0 }

// fits finds the version that a file of a kind belongs to; nil if to none.
func (d *day) fits(k Kind, got sum) *version {
	switch {
	case d.files[k] == got:
		return &d.version
	case d.next != nil && d.next.files[k] == got:
		return d.next
	default:
		return nil
	}
}

// same tells whether two records say the same.
func (d *day) same(o *day) bool {
	if d.version != o.version || d.damaged != o.damaged || (d.next == nil) != (o.next == nil) {
		return false
	}
	return d.next == nil || *d.next == *o.next
}

// Flags of a day's record.
const (
	flagNext = 1 << iota
	flagDamaged
)

func appendDay(dst []byte, d *day) []byte {
	var flags byte
	if d.next != nil {
		flags |= flagNext
	}
	if d.damaged {
		flags |= flagDamaged
	}
	dst = appendVersion(append(dst, layout, flags), &d.version)
	if d.next != nil {
		dst = appendVersion(dst, d.next)
	}
	return dst
}

func appendVersion(dst []byte, v *version) []byte {
	dst = binary.AppendUvarint(dst, uint64(v.rows))
	dst = binary.AppendVarint(dst, v.first)
	dst = binary.AppendVarint(dst, v.last)
	for _, f := range v.files {
		dst = binary.AppendUvarint(dst, uint64(f.size))
		dst = binary.AppendUvarint(dst, uint64(f.crc))
	}
	return dst
}

func decodeDay(at int64, record []byte) (*day, error) {
	d := decode(record)
	flags := d.uvarint() // one byte so far
	out := &day{at: at, version: d.version(), damaged: flags&flagDamaged != 0}
	if flags&flagNext != 0 {
		next := d.version()
		out.next = &next
	}
	return out, d.err()
}

func (d *decoder) version() version {
	v := version{rows: int64(d.uvarint()), first: d.varint(), last: d.varint()}
	for k := range v.files {
		v.files[k] = sum{size: int64(d.uvarint()), crc: uint32(d.uvarint())}
	}
	return v
}

// An openDay is a day of which there are rows in the store: one that is not
// closed yet, or one with late rows that lie over its file.
type openDay struct {
	over    int64  // rows that are not in the file, if there is a file
	touched uint64 // in memory only: counts the appends that brought rows of the day
	quiet   uint64 // in memory only: touched when the keeper last looked
}

func appendOpenDay(dst []byte, o openDay) []byte {
	return binary.AppendUvarint(append(dst, layout), uint64(o.over))
}

func decodeOpenDay(record []byte) (openDay, error) {
	d := decode(record)
	return openDay{over: int64(d.uvarint())}, d.err()
}

func dayKey(machine string, at int64) []byte {
	return appendMicros(keyOf(nil, dayPrefix, machine), at)
}

func openDayKey(machine string, at int64) []byte {
	return appendMicros(keyOf(nil, openPrefix, machine), at)
}

// A source is the store, or a snapshot of it.
type source interface {
	Get(key []byte) (value []byte, found bool, err error)
	Ascend(from, to []byte, yield func(key, value []byte) error) error
	Descend(from, to []byte, yield func(key, value []byte) error) error
}

// readDay looks a day up in the catalogue; nil if it is not closed.
func readDay(from source, machine string, at int64) (*day, error) {
	record, found, err := from.Get(dayKey(machine, at))
	if !found || err != nil {
		return nil, err
	}
	d, err := decodeDay(at, record)
	if err != nil {
		return nil, damage(machine, "catalogue of "+dayName(at), err)
	}
	return d, nil
}

// eachDay yields the closed days of a machine that begin in [from, to).
func eachDay(in source, machine string, from, to int64, yield func(*day) error) error {
	prefix := keyOf(nil, dayPrefix, machine)
	return in.Ascend(appendMicros(slices.Clone(prefix), from), appendMicros(prefix, to), func(key, value []byte) error {
		return yieldDay(machine, key, value, yield)
	})
}

// lastDay finds the newest closed day with a raw file that begins before a time.
func lastDay(in source, machine string, before int64) (found *day, err error) {
	prefix := keyOf(nil, dayPrefix, machine)
	err = in.Descend(prefix, appendMicros(slices.Clone(prefix), before), func(key, value []byte) error {
		return yieldDay(machine, key, value, func(d *day) error {
			if !d.has(Raw) {
				return nil
			}
			found = d
			return Stop
		})
	})
	return found, err
}

func yieldDay(machine string, key, value []byte, yield func(*day) error) error {
	at, err := microsOf(key)
	if err != nil {
		return damage(machine, "catalogue", err)
	}
	d, err := decodeDay(at, value)
	if err != nil {
		return damage(machine, "catalogue of "+dayName(at), err)
	}
	return yield(d)
}

// dayName is a day as people and file names write it.
func dayName(at int64) string { return fromMicros(at).Format(time.DateOnly) }

const fileSuffix = ".parquet"

const folderPrefix = "machine="

// FolderName is the name of a folder of a machine's files, from which tools take
// the machine's name.
func FolderName(machine string) string { return folderPrefix + folderName(machine, foldsCase()) }

// folderOf is where a machine's files of a kind are. Tools that read the folder
// take the machine's name from its name.
func (s *Store) folderOf(k Kind, machine string) string {
	return filepath.Join(s.dir, k.folder(), folderPrefix+folderName(machine, s.foldsCase))
}

func (s *Store) fileOf(k Kind, machine string, at int64) string {
	return filepath.Join(s.folderOf(k, machine), dayName(at)+fileSuffix)
}

// draftOf is the name of a file while it is written, which no tool reads.
func (s *Store) draftOf(k Kind, machine string, at int64) string {
	return filepath.Join(s.folderOf(k, machine), "."+dayName(at)+".draft")
}

// longestFolder bounds a folder's name: file systems take 255 bytes.
const longestFolder = 200

// foldsCase tells whether Press and press are one name to the system's disks:
// then capitals are percent-encoded, or two machines would write into one file.
func foldsCase() bool { return runtime.GOOS == "windows" || runtime.GOOS == "darwin" }

// folderName is a machine's name as a part of a path, percent-encoded where
// file systems, Windows' among them, or the tools would take offence. What
// would become too long is cut and ends in a hash.
func folderName(machine string, foldsCase bool) string {
	var out strings.Builder
	plain := utf8.ValidString(machine) && (!foldsCase || machine == strings.ToLower(machine))
	for i := range len(machine) {
		c := machine[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' && !foldsCase || '0' <= c && c <= '9' || c >= utf8.RuneSelf && plain
		inner := i > 0 && i < len(machine)-1
		if letter || c == '-' || c == '_' || inner && (c == '.' || c == ' ') {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	name := out.String()
	if _, err := strconv.ParseFloat(name, 64); err == nil { // 007 would be read as 7
		name = fmt.Sprintf("%%%02X%s", name[0], name[1:])
	}
	if len(name) > longestFolder {
		hash := sha256.Sum256([]byte(machine))
		name = strings.ToValidUTF8(name[:longestFolder-33], "") + "~" + hex.EncodeToString(hash[:16])
	}
	return name
}

// adoptFolders renames machines' folders that come from a system that names them
// otherwise: capitals are encoded where disks fold case, and nowhere else.
func (s *Store) adoptFolders() error {
	for k := range Kind(kinds) {
		parent := filepath.Join(s.dir, k.folder())
		listed, err := s.files.List(parent)
		if err != nil {
			return err
		}
		for name := range s.machines {
			ours, theirs := folderPrefix+folderName(name, s.foldsCase), folderPrefix+folderName(name, !s.foldsCase)
			if ours == theirs || !slices.Contains(listed, theirs) || slices.Contains(listed, ours) {
				continue
			}
			if err := s.files.Move(db.Rename{From: filepath.Join(parent, theirs), To: filepath.Join(parent, ours)}); err != nil {
				return err
			}
		}
	}
	return nil
}
