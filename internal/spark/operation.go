package spark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"fettle"
)

// An Operation is one statement that runs at the server, whether anybody listens
// or not. It is used by one goroutine at a time, but for Interrupt.
type Operation struct {
	session *Session
	id      string
	start   body // of the request that starts it; none once the server has it
	stream  *stream
	cancel  context.CancelCauseFunc // ends the stream
	last    string                  // the response that was read last
	first   []byte                  // a response that was read ahead
}

// Progress is how far an operation is. Spark counts failed attempts of tasks as
// done.
type Progress struct{ Stages, Tasks, Done, Inflight int }

const (
	maxResult = 256 << 20 // of all rows of an operation, in bytes

	// silentFor is how long a stream may be silent. The server tells progress
	// every other second, and ends a stream after two minutes.
	silentFor = 5 * time.Minute
)

// Start starts a statement under a name of the caller's, a UUID, and returns
// once the server has it. The values, if any, stand for the question marks in
// it. Cancelling ctx afterwards does not end it.
func (s *Session) Start(ctx context.Context, op, sql string, values ...string) (*Operation, error) {
	if len(values) > 1 {
		return nil, fettle.BadField("too many values", "values", fmt.Sprint(len(values)), "one at most")
	}
	if err := checkID("operation", op); err != nil {
		return nil, err
	}
	o := &Operation{session: s, id: op, start: s.executePlan(op, sql, values)}
	if o.start.size > MaxMessage {
		return nil, fettle.Errorf(fettle.Invalid, "a statement of %d bytes for Spark; expected at most %d (128 MiB)", o.start.size, MaxMessage)
	}
	if err := o.begin(ctx); err != nil {
		return nil, err
	}
	return o, nil
}

// Reattach finds an operation that was started before. ErrLost: there is none of
// that name any more.
func (s *Session) Reattach(ctx context.Context, op string) (*Operation, error) {
	if err := checkID("operation", op); err != nil {
		return nil, err
	}
	o := &Operation{session: s, id: op}
	if err := o.begin(ctx); err != nil {
		return nil, err
	}
	return o, nil
}

// executePlan is the request that starts a statement. A long value comes last, so
// that it need not be copied.
func (s *Session) executePlan(op, sql string, values []string) body {
	const (
		plan, root, sqlRelation, query, positional = 3, 1, 10, 1, 5 // Plan.root, Relation.sql, SQL.query, SQL.pos_arguments
		literal, text                              = 1, 13          // Expression.literal, Literal.string
		operation, options                         = 6, 5
	)
	reattachable := message(nil).bytes(1, message(nil).number(1, 1)) // RequestOption.reattach_options
	head := s.request(8, 4).text(operation, op).bytes(options, reattachable)
	relation := message(nil).always(query, sql)
	tail := ""
	if len(values) == 1 {
		tail = values[0]
		relation = append(relation, around(len(tail), positional, literal, text)...)
	}
	head = append(head, around(len(relation)+len(tail), plan, root, sqlRelation)...)
	return framed(append(head, relation...), tail)
}

// begin reads the first response ahead: then the server has the statement.
func (o *Operation) begin(ctx context.Context) error {
	first, err := o.next(ctx)
	if err == nil {
		o.first = first
	}
	return err
}

// next is the next response. A stream that ends early is taken up again where it
// was, by design of the protocol; so is one that breaks, for a while.
func (o *Operation) next(ctx context.Context) ([]byte, error) {
	if first := o.first; first != nil {
		o.first = nil
		return first, nil
	}
	r := o.session.newRetry()
	for {
		response, err := o.read(ctx)
		switch {
		case err == nil:
			o.start = body{} // whatever happens now, the server has it
			return response, nil
		case ctx.Err() != nil:
			o.leave()
			return nil, ctx.Err()
		case err == io.EOF:
			// More is to come: the statement's end would have said so itself.
			o.leave()
			pause(ctx, firstWait)
			continue
		}
		o.leave()
		if !r.again(ctx, err) {
			return nil, o.session.target.explain(err)
		}
	}
}

// read opens a stream if there is none and reads one response.
func (o *Operation) read(ctx context.Context) ([]byte, error) {
	if o.stream == nil {
		if err := o.open(ctx); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { o.cancel(ctx.Err()) })
	defer stop()
	silence := time.AfterFunc(silentFor, func() { o.cancel(&fault{fmt.Errorf("silent for %s", silentFor)}) })
	defer silence.Stop()
	response, err := o.stream.next()
	if err != nil {
		return nil, err
	}
	return response, fields(response, func(f field) error {
		if f.number == 13 { // response_id
			o.last = f.text()
		}
		return nil
	})
}

// open starts the statement, or listens to it where it is.
func (o *Operation) open(ctx context.Context) error {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(ctx.Err()) })
	defer stop()
	var err error
	o.cancel = cancel
	if o.start.open == nil {
		o.stream, err = o.reattach(own)
	} else if o.stream, err = o.session.connection.stream(own, "ExecutePlan", o.start); strings.HasSuffix(class(err), "OPERATION_ALREADY_EXISTS") {
		o.stream, err = o.reattach(own)
	}
	if err != nil {
		cancel(nil)
	}
	return err
}

func (o *Operation) reattach(ctx context.Context) (*stream, error) {
	const operation, lastResponse = 3, 5
	request := o.session.request(6, 4).text(operation, o.id).text(lastResponse, o.last)
	return o.session.connection.stream(ctx, "ReattachExecute", framed(request))
}

// leave ends the stream, not the operation.
func (o *Operation) leave() {
	if o.cancel != nil {
		o.cancel(nil)
	}
	if o.stream != nil {
		o.stream.close()
	}
	o.stream = nil
}

// Result waits for the statement's end and returns its rows, which have one
// column of strings. progress, which may be nil, hears of each step. If ctx ends
// first, the statement goes on, and can be reattached to.
func (o *Operation) Result(ctx context.Context, progress func(Progress)) ([]string, error) {
	defer o.leave()
	var rows []string
	size := 0
	for {
		response, err := o.next(ctx)
		if err != nil {
			return nil, err
		}
		done := false
		err = fields(response, func(f field) (err error) {
			switch f.number {
			case 15: // server_side_session_id
				o.session.observe(f.text())
			case 2: // arrow_batch
				if size += len(f.bytes); size > maxResult {
					return fettle.Errorf(fettle.Invalid, "the statement's rows take more than %d bytes (256 MiB)", maxResult)
				}
				rows, err = appendArrow(rows, f.bytes)
			case 18: // execution_progress
				if progress != nil {
					err = tell(f.bytes, progress)
				}
			case 14: // result_complete
				done = true
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read Spark's answer: %w", err)
		}
		if done {
			return rows, nil
		}
	}
}

// appendArrow adds the rows of an ArrowBatch.
func appendArrow(rows []string, batch []byte) ([]string, error) {
	err := fields(batch, func(f field) (err error) {
		if f.number == 2 { // data
			rows, err = appendStrings(rows, f.bytes)
		}
		return err
	})
	return rows, err
}

// tell passes an ExecutionProgress on.
func tell(m []byte, progress func(Progress)) error {
	var p Progress
	err := fields(m, func(f field) error {
		switch f.number {
		case 1: // stages
			p.Stages++
			return fields(f.bytes, func(f field) error {
				switch f.number {
				case 2: // num_tasks
					p.Tasks += int(f.value)
				case 3: // num_completed_tasks
					p.Done += int(f.value)
				}
				return nil
			})
		case 2: // num_inflight_tasks
			p.Inflight = int(f.value)
		}
		return nil
	})
	if err == nil {
		progress(p)
	}
	return err
}

// ID is the operation's name.
func (o *Operation) ID() string { return o.id }

// Interrupt ends the statement at the server; Result then returns
// ErrInterrupted. That nothing of it was running any more is no error.
func (o *Operation) Interrupt(ctx context.Context) error {
	const kind, byID, operation = 4, 3, 6
	_, err := o.session.ask(ctx, "Interrupt", o.session.request(7, 3).number(kind, byID).text(operation, o.id))
	if errors.Is(err, ErrLost) {
		return nil
	}
	return err
}

// Release lets the server forget the statement and its rows. What still runs of
// it is ended.
func (o *Operation) Release(ctx context.Context) error {
	o.leave()
	if err := o.session.release(ctx, o.id); !errors.Is(err, ErrLost) {
		return err
	}
	return nil
}

func (s *Session) release(ctx context.Context, op string) error {
	const operation, all = 3, 5
	answer, err := s.ask(ctx, "ReleaseExecute", s.request(7, 4).text(operation, op).bytes(all, nil))
	if err != nil {
		return err
	}
	return fields(answer, func(f field) error {
		if f.number == 3 && len(f.bytes) > 0 { // server_side_session_id
			s.observe(f.text())
		}
		return nil
	})
}
