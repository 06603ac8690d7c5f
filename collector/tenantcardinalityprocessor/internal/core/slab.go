package core

// pageSize is how many items are stored together: one page of them is one value in the storage.
const pageSize = 256

// slab keeps items under numbers that stay theirs until they are released; 0 is nobody's. Items never move, and one
// without pointers costs the garbage collector nothing.
type slab[T any] struct {
	pages []*[pageSize]T
	dirty []bool // by page: an item changed since it was last stored
	made  []bool // by page: one was taken or released
	free  []uint32
	next  uint32
	used  int
}

func (s *slab[T]) at(number uint32) *T { return &s.pages[number/pageSize][number%pageSize] }

// touch notes that an item changes.
func (s *slab[T]) touch(number uint32) { s.dirty[number/pageSize] = true }

func (s *slab[T]) make(number uint32) {
	s.dirty[number/pageSize] = true
	s.made[number/pageSize] = true
}

// take returns an item that is zero.
func (s *slab[T]) take() (uint32, *T) {
	s.used++
	if last := len(s.free) - 1; last >= 0 {
		number := s.free[last]
		s.free = s.free[:last]
		s.make(number)
		return number, s.at(number)
	}
	s.next = max(s.next, 1)
	number := s.next
	s.reach(number)
	s.next++
	s.make(number)
	return number, s.at(number)
}

// reach makes room up to a number.
func (s *slab[T]) reach(number uint32) {
	for int(number/pageSize) >= len(s.pages) {
		s.pages = append(s.pages, new([pageSize]T))
		s.dirty = append(s.dirty, false)
		s.made = append(s.made, false)
	}
}

func (s *slab[T]) release(number uint32) {
	var zero T
	*s.at(number) = zero
	s.make(number)
	s.free = append(s.free, number)
	s.used--
}
