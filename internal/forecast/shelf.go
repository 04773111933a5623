package forecast

import (
	"container/list"
	"sync"
)

// A shelf bounds what loaded models take of the memory: of so many machines that
// not all of their models fit, those are dropped that were not used for longest,
// and loaded again at their next tick.
type shelf struct {
	budget int64 // bytes

	mu    sync.Mutex
	used  int64
	order *list.List // of *held, the one used last in front
	of    map[*memory]*list.Element
}

// held is what one forecaster of one machine has loaded.
type held struct {
	by    *memory
	bytes int64
}

func newShelf(budget int64) *shelf {
	return &shelf{budget: budget, order: list.New(), of: map[*memory]*list.Element{}}
}

// use notes that a machine's forecaster has just used models of so many bytes,
// and returns those that are to forget theirs.
func (s *shelf) use(m *memory, bytes int64) (tooMany []*memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, found := s.of[m]; found {
		s.drop(at)
	}
	s.of[m] = s.order.PushFront(&held{m, bytes})
	s.used += bytes
	for s.used > s.budget && s.order.Len() > 1 {
		last := s.order.Back()
		tooMany = append(tooMany, last.Value.(*held).by)
		s.drop(last)
	}
	return tooMany
}

func (s *shelf) drop(at *list.Element) {
	one := s.order.Remove(at).(*held)
	delete(s.of, one.by)
	s.used -= one.bytes
}

// bytes is about what a loaded model takes.
func (f *predictor) bytes() int64 {
	const number, sensor = 8, 256
	n := int64(len(f.scale)) * sensor
	for _, b := range f.bandsNow() {
		n += number * int64(len(b.Below)+len(b.Above))
	}
	if f.ridge != nil {
		return n + number*int64(f.model.Context*f.model.Horizon)
	}
	return n + 4*int64(f.model.Parameters)
}
