package core

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// formatVersion is of the pages. A State reads its own version only.
const formatVersion = 1

// The pages: "head" is the State itself, with what is small; "sent" the time of the last flush that was accepted; the
// others are the pages of the slabs. A series is in two
// of them: what it is, which never changes, and its value.
const (
	headPage      = "head"
	sentPage      = "sent"
	familyPages   = "families/"
	resourcePages = "resources/"
	tenantPages   = "tenants/"
	seriesPages   = "series/"
	valuePages    = "values/"
	streamPages   = "streams/"

	maxPages = 1 << 22 // of a slab: a billion items
)

// Dirty returns the pages that changed since the last call, nil for one that is no more. What was ever returned, later
// pages over earlier ones, is the State at the moment of the last call.
func (s *State) Dirty() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	pages := map[string][]byte{headPage: s.encodeHead()}
	encodePages(pages, familyPages, &s.families, s.families.dirty, used(isFamily, encodeFamily))
	encodePages(pages, resourcePages, &s.resources, s.resources.dirty, used(isResource, encodeResource))
	encodePages(pages, tenantPages, &s.tenants.slab, s.tenants.dirty, used(isTenant, encodeTenant))
	encodePages(pages, seriesPages, &s.series, s.series.made, used(isSeries, encodeSeries))
	encodePages(pages, valuePages, &s.series, s.series.dirty, used(isSeries, encodeValue))
	encodePages(pages, streamPages, &s.streams.slab, s.streams.dirty, used(isStream, s.encodeStream))
	return pages
}

// Of a slab's slots, these tell which are not free.

func isFamily(f **Family) bool    { return *f != nil }
func isResource(r *resource) bool { return r.identity != 0 }
func isTenant(t *tenant) bool     { return t.identity != 0 }
func isSeries(sr *series) bool    { return sr.family != nil }
func isStream(st *stream) bool    { return st.identity != 0 }

// used makes an encoding of slots out of one of items: those in use, and whether there are any.
func used[T any](in func(*T) bool, encode func(*encoder, *T)) func(*encoder, int, *T) bool {
	return func(e *encoder, slot int, item *T) bool {
		if !in(item) {
			return false
		}
		e.byte(byte(slot))
		encode(e, item)
		return true
	}
}

// encodePages encodes the pages of a slab that are marked, and removes the marks.
func encodePages[T any](
	pages map[string][]byte, prefix string, items *slab[T], marked []bool, encode func(*encoder, int, *T) bool,
) {
	e := &encoder{}
	for number, page := range items.pages {
		if !marked[number] {
			continue
		}
		marked[number] = false
		e.data, e.bounds = e.data[:0], nil
		any := false
		for slot := range page {
			any = encode(e, slot, &page[slot]) || any
		}
		name := prefix + strconv.Itoa(number)
		if pages[name] = nil; any {
			pages[name] = slices.Clone(e.data)
		}
	}
}

// Load restores an empty State from such pages; it is as of now. After an error the State is to be thrown away.
func (s *State) Load(pages map[string][]byte, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch.now, s.batch.second = now, seconds(now)
	head, has := pages[headPage]
	if !has {
		return fmt.Errorf("page %q is missing", headPage)
	}
	if err := s.decodeHead(head, now); err != nil {
		return fmt.Errorf("page %q: %w", headPage, err)
	}
	// In this order: streams point to all others, series to families and tenants.
	err := errors.Join(
		extend(pages, familyPages, &s.families), extend(pages, resourcePages, &s.resources),
		extend(pages, tenantPages, &s.tenants.slab), extend(pages, seriesPages, &s.series),
		extend(pages, streamPages, &s.streams.slab),
		decodePages(pages, familyPages, &s.families, s.decodeFamily),
	)
	for _, load := range []func() error{
		func() error { return decodePages(pages, resourcePages, &s.resources, s.decodeResource) },
		func() error { return decodePages(pages, tenantPages, &s.tenants.slab, s.decodeTenant) },
		func() error { return decodePages(pages, seriesPages, &s.series, s.decodeSeries) },
		func() error { return decodePages(pages, valuePages, &s.series, s.decodeValue) },
		func() error { return decodePages(pages, streamPages, &s.streams.slab, s.decodeStream) },
	} {
		if err != nil {
			return err
		}
		err = load()
	}
	if err != nil {
		return err
	}
	s.settle()
	if sent, has := pages[sentPage]; has && (&decoder{data: sent}).int() == s.stored {
		s.acknowledge()
	}
	return nil
}

// pageNumber returns the number in a page's name, -1 if it is a page of another slab.
func pageNumber(name, prefix string) (int, error) {
	rest, ours := strings.CutPrefix(name, prefix)
	if !ours {
		return -1, nil
	}
	number, err := strconv.Atoi(rest)
	if err != nil || number < 0 || number >= maxPages || strconv.Itoa(number) != rest {
		return -1, fmt.Errorf("page %q: %w", name, errCorrupt)
	}
	return number, nil
}

// extend makes all slots of a stored slab, free ones.
func extend[T any](pages map[string][]byte, prefix string, items *slab[T]) error {
	last := -1
	for name := range pages {
		number, err := pageNumber(name, prefix)
		if err != nil {
			return err
		}
		last = max(last, number)
	}
	if last >= 0 {
		items.next = uint32(last+1) * pageSize
		items.reach(items.next - 1)
	}
	return nil
}

// decodePages decodes all pages of a slab.
func decodePages[T any](pages map[string][]byte, prefix string, items *slab[T], decode func(*decoder, uint32, *T)) error {
	for name, data := range pages {
		page, err := pageNumber(name, prefix)
		if page < 0 || err != nil {
			continue
		}
		d, last := &decoder{data: data}, -1
		for len(d.data) > 0 {
			slot := int(d.byte())
			number := uint32(page*pageSize + slot)
			if slot <= last || number == 0 || number >= items.next {
				d.fail()
				break
			}
			last = slot
			decode(d, number, items.at(number))
		}
		if d.err != nil {
			return fmt.Errorf("page %q: %w", name, d.err)
		}
	}
	return nil
}

// settleSlab finds which slots are free.
func settleSlab[T any](items *slab[T], in func(*T) bool) {
	for number := items.next; number > 1; {
		number--
		if in(items.at(number)) {
			items.used++
		} else {
			items.free = append(items.free, number)
		}
	}
}

// settle computes what is not stored.
func (s *State) settle() {
	settleSlab(&s.families, isFamily)
	settleSlab(&s.resources, isResource)
	settleSlab(&s.tenants.slab, isTenant)
	settleSlab(&s.series, isSeries)
	settleSlab(&s.streams.slab, isStream)
}

// acknowledge notes that all that began or ended in the last flush was sent before.
func (s *State) acknowledge() {
	for number := uint32(1); number < s.series.next; number++ {
		s.unsent = append(s.unsent, number)
	}
	s.sent()
}
