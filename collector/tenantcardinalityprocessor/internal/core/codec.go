package core

import (
	"encoding/binary"
	"errors"
	"math"
)

var errCorrupt = errors.New("a page is corrupt")

// encoder appends values to a page.
type encoder struct {
	data   []byte
	bounds [][]float64 // those in the page: each is written once
}

func (e *encoder) uint(v uint64)     { e.data = binary.AppendUvarint(e.data, v) }
func (e *encoder) int(v int64)       { e.data = binary.AppendVarint(e.data, v) }
func (e *encoder) fixed(v uint64)    { e.data = binary.LittleEndian.AppendUint64(e.data, v) }
func (e *encoder) float(v float64)   { e.fixed(math.Float64bits(v)) }
func (e *encoder) id(v Identity)     { e.fixed(uint64(v)) }
func (e *encoder) byte(v byte)       { e.data = append(e.data, v) }
func (e *encoder) str(v string)      { e.uint(uint64(len(v))); e.data = append(e.data, v...) }
func (e *encoder) bytes(v []byte)    { e.uint(uint64(len(v))); e.data = append(e.data, v...) }
func (e *encoder) counts(v []uint64) { e.uint(uint64(len(v))); each(v, e.uint) }

func (e *encoder) bool(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

func each[T any](all []T, do func(T)) {
	for _, one := range all {
		do(one)
	}
}

func (e *encoder) attributes(all []Attribute) {
	e.uint(uint64(len(all)))
	for _, a := range all {
		e.str(a.Key)
		e.byte(byte(a.Value.Kind))
		if a.Value.Kind == KindString {
			e.str(a.Value.Str)
		} else {
			e.uint(a.Value.Bits)
		}
	}
}

func (e *encoder) number(n Number) {
	if e.bool(n.IsInt); n.IsInt {
		e.int(n.Int)
	} else {
		e.float(n.Float)
	}
}

func (e *encoder) sum(has bool, sum float64) {
	if e.bool(has); has {
		e.float(sum)
	}
}

func (e *encoder) explicit(h *Explicit) {
	e.uint(h.Count)
	e.sum(h.HasSum, h.Sum)
	e.boundaries(h.Bounds)
	e.counts(h.Counts)
}

// boundaries writes which bounds of the page these are, and if they are the first such ones, the bounds.
func (e *encoder) boundaries(bounds []float64) {
	for i, known := range e.bounds {
		if equalBounds(known, bounds) {
			e.uint(uint64(i))
			return
		}
	}
	e.uint(uint64(len(e.bounds)))
	e.uint(uint64(len(bounds)))
	each(bounds, e.float)
	e.bounds = append(e.bounds, bounds)
}

func (e *encoder) exponential(h *Exponential) {
	e.uint(h.Count)
	e.sum(h.HasSum, h.Sum)
	e.int(int64(h.Scale))
	e.uint(h.ZeroCount)
	e.float(h.ZeroThreshold)
	for _, side := range []*Buckets{&h.Positive, &h.Negative} {
		e.int(int64(side.Offset))
		e.counts(side.Counts)
	}
}

// decoder reads what an encoder wrote. After the first error everything read is zero.
type decoder struct {
	data   []byte
	err    error
	bounds [][]float64
}

func (d *decoder) fail() { d.data, d.err = nil, errCorrupt }

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.data)
	return v * d.skip(n)
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.data)
	return v * int64(d.skip(n))
}

// skip skips what was read: 0 bytes or fewer are an error. It returns 1, or 0 after an error.
func (d *decoder) skip(n int) uint64 {
	if n <= 0 || d.err != nil {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return 1
}

func (d *decoder) fixed() uint64 {
	if len(d.data) < 8 {
		d.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(d.data)
	d.data = d.data[8:]
	return v
}

func (d *decoder) float() float64 { return math.Float64frombits(d.fixed()) }
func (d *decoder) id() Identity   { return Identity(d.fixed()) }
func (d *decoder) bool() bool     { return d.byte() != 0 }
func (d *decoder) str() string    { return string(d.bytes()) }

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.fail()
		return 0
	}
	v := d.data[0]
	d.data = d.data[1:]
	return v
}

// length reads how many items follow, each of at least one byte.
func (d *decoder) length() int {
	n := d.uint()
	if n > uint64(len(d.data)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.length()
	v := d.data[:n:n]
	d.data = d.data[n:]
	return v
}

// list reads as many items as it says there are.
func list[T any](d *decoder, item func() T) []T {
	all := make([]T, d.length())
	for i := range all {
		all[i] = item()
	}
	return all
}

func (d *decoder) attributes() []Attribute {
	return list(d, func() Attribute {
		a := Attribute{Key: d.str(), Value: Value{Kind: ValueKind(d.byte())}}
		if a.Value.Kind == KindString {
			a.Value.Str = d.str()
		} else {
			a.Value.Bits = d.uint()
		}
		return a
	})
}

func (d *decoder) number() Number {
	if d.bool() {
		return IntNumber(d.int())
	}
	return FloatNumber(d.float())
}

func (d *decoder) sum() (has bool, sum float64) {
	if has = d.bool(); has {
		sum = d.float()
	}
	return has, sum
}

func (d *decoder) explicit() *Explicit {
	h := &Explicit{Count: d.uint()}
	h.HasSum, h.Sum = d.sum()
	h.Bounds = d.boundaries()
	h.Counts = list(d, d.uint)
	if len(h.Counts) != len(h.Bounds)+1 {
		d.fail()
	}
	return h
}

func (d *decoder) boundaries() []float64 {
	switch known := d.uint(); {
	case known < uint64(len(d.bounds)):
		return d.bounds[known]
	case known > uint64(len(d.bounds)):
		d.fail()
		return nil
	}
	bounds := list(d, d.float)
	d.bounds = append(d.bounds, bounds)
	return bounds
}

func (d *decoder) exponential() *Exponential {
	h := &Exponential{Count: d.uint()}
	h.HasSum, h.Sum = d.sum()
	h.Scale = int32(d.int())
	h.ZeroCount = d.uint()
	h.ZeroThreshold = d.float()
	for _, side := range []*Buckets{&h.Positive, &h.Negative} {
		side.Offset = int32(d.int())
		side.Counts = list(d, d.uint)
	}
	if h.Scale < minScale || h.Scale > maxScale || !(h.ZeroThreshold >= 0) ||
		!h.Positive.possible(h.Scale) || !h.Negative.possible(h.Scale) {
		d.fail()
	}
	return h
}
