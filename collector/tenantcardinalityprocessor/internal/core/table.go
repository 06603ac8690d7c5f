package core

// table is a slab whose items are found by their identity, for 17 bytes an item, where a map takes 40. An item is found
// in one look at the entries and one at itself; both are mostly not in the processor's cache.
//
// The entries are a hash table with linear probing: an entry's place follows from the lower bits of the identity, its
// content is the upper half of the identity, and the item's number; 0 is free.
type table[T any, P identified[T]] struct {
	slab[T]
	entries []uint64 // a power of two of them
	entered int
}

// identified is an item that knows its identity, which must not be that of a free one, 0.
type identified[T any] interface {
	*T
	id() Identity
}

const upperHalf = 0xffffffff_00000000

// find returns the number of an item, 0 if it is not there.
func (t *table[T, P]) find(id Identity) uint32 {
	if len(t.entries) == 0 {
		return 0
	}
	mask := uint64(len(t.entries) - 1)
	for place := uint64(id) & mask; t.entries[place] != 0; place = (place + 1) & mask {
		entry := t.entries[place]
		if (entry^uint64(id))&upperHalf == 0 && P(t.at(uint32(entry))).id() == id {
			return uint32(entry)
		}
	}
	return 0
}

// enter lets an item that is in the slab be found.
func (t *table[T, P]) enter(number uint32) {
	if t.entered++; t.entered*8 > len(t.entries)*7 {
		t.grow()
	}
	t.put(P(t.at(number)).id(), number)
}

func (t *table[T, P]) put(id Identity, number uint32) {
	mask := uint64(len(t.entries) - 1)
	place := uint64(id) & mask
	for t.entries[place] != 0 {
		place = (place + 1) & mask
	}
	t.entries[place] = uint64(id)&upperHalf | uint64(number)
}

func (t *table[T, P]) grow() {
	old := t.entries
	t.entries = make([]uint64, max(16, 2*len(old)))
	for _, entry := range old {
		if entry != 0 {
			t.put(P(t.at(uint32(entry))).id(), uint32(entry))
		}
	}
}

// remove releases an item. Entries after its own move up, so that no probing ends before them.
func (t *table[T, P]) remove(number uint32) {
	mask := uint64(len(t.entries) - 1)
	place := uint64(P(t.at(number)).id()) & mask
	for uint32(t.entries[place]) != number {
		place = (place + 1) & mask
	}
	for next := (place + 1) & mask; t.entries[next] != 0; next = (next + 1) & mask {
		home := uint64(P(t.at(uint32(t.entries[next]))).id()) & mask
		if (next-home)&mask >= (next-place)&mask {
			t.entries[place] = t.entries[next]
			place = next
		}
	}
	t.entries[place] = 0
	t.entered--
	t.release(number)
}
