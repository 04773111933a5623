package spark

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"
	"time"

	"fettle"
)

const (
	// MaxUpload is how large an uploaded file may be, in bytes.
	MaxUpload = 512 << 20

	uploadWithin = 15 * time.Minute
	chunkSize    = 32 << 10 // what Spark's own clients send at a time
	artifactRoot = "files/" // where files for executors go, by Spark's rules
)

// Upload puts a file into the session, from where every executor that runs one
// of its tasks takes it: it lies at Path(name) in the working folder, and may be
// run. It is sent once: if a file of that name is there already, r is not read,
// whatever is in it.
func (s *Session) Upload(ctx context.Context, name string, r io.Reader, size int64) error {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || strings.HasPrefix(name, ".") {
		return fettle.BadField("bad name", "name", name, "letters, digits and ._- of ASCII")
	}
	if size < 1 || size > MaxUpload {
		return fettle.BadField("bad size", "size", fmt.Sprint(size), fmt.Sprintf("from 1 to %d bytes", MaxUpload))
	}
	upload := &upload{head: s.request(7, 6), name: artifactRoot + name, from: r, size: size, closed: make(chan struct{})}
	answer, err := s.connection.send(ctx, uploadWithin, "AddArtifacts", body{size: -1, open: func() io.ReadCloser { return upload }})
	<-upload.closed // the transport may read on after it has answered
	if upload.err != nil {
		return fmt.Errorf("read %s to upload it: %w", name, upload.err)
	}
	if err != nil {
		return fmt.Errorf("upload %s: %w", name, s.target.explain(err))
	}
	intact := false
	err = fields(answer, func(f field) error {
		if f.number != 1 { // artifacts
			return nil
		}
		return fields(f.bytes, func(f field) error {
			intact = intact || f.number == 2 && f.flag() // is_crc_successful
			return nil
		})
	})
	if err == nil && !intact {
		err = fettle.Errorf(fettle.Unavailable, "upload %s: it did not arrive whole; try again", name)
	}
	return err
}

// Path is where an uploaded file lies, in a task's working folder.
func (s *Session) Path(name string) string { return "./" + s.ServerSideID() + "/" + name }

// An upload is the body of AddArtifacts: a request for each chunk, made as it is
// read. A file of one chunk must be sent as a batch.
type upload struct {
	head   message // what each request begins with
	name   string
	from   io.Reader
	size   int64 // what is still to come
	sent   bool  // the first chunk is
	frame  bytes.Buffer
	err    error // of from
	closed chan struct{}
	once   sync.Once
}

func (u *upload) Close() error {
	u.once.Do(func() { close(u.closed) })
	return nil // from is the caller's
}

func (u *upload) Read(p []byte) (int, error) {
	if u.frame.Len() == 0 {
		if u.size == 0 {
			return 0, io.EOF
		}
		if err := u.fill(); err != nil {
			u.err = err
			return 0, err
		}
	}
	return u.frame.Read(p)
}

// fill makes the next request.
func (u *upload) fill() error {
	const batch, begin, more = 3, 4, 5 // AddArtifactsRequest.payload
	data := make([]byte, min(u.size, chunkSize))
	if _, err := io.ReadFull(u.from, data); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	chunk := message(nil).bytes(1, data).number(2, uint64(crc32.ChecksumIEEE(data)))
	request := u.head[:len(u.head):len(u.head)]
	switch {
	case u.sent:
		request = request.bytes(more, chunk)
	case u.size <= chunkSize:
		request = request.bytes(batch, message(nil).bytes(1, message(nil).text(1, u.name).bytes(2, chunk)))
	default:
		chunks := (u.size + chunkSize - 1) / chunkSize
		request = request.bytes(begin, message(nil).text(1, u.name).number(2, uint64(u.size)).number(3, uint64(chunks)).bytes(4, chunk))
	}
	u.sent, u.size = true, u.size-int64(len(data))
	u.frame.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))))
	u.frame.Write(request)
	return nil
}
