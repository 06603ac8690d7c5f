package core

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// Attribute is a key and its value.
type Attribute struct {
	Key   string
	Value Value
}

// ValueKind is a type that a value can have here; bytes, slices and maps are turned into strings before.
type ValueKind uint8

// The types of values.
const (
	KindEmpty ValueKind = iota
	KindString
	KindInt
	KindDouble
	KindBool
)

// Value is an attribute's value: a string, or the bits of a number or a boolean.
type Value struct {
	Kind ValueKind
	Str  string
	Bits uint64
}

// String returns a value of a string.
func String(s string) Value { return Value{Kind: KindString, Str: s} }

// Int returns a value of an integer.
func Int(i int64) Value { return Value{Kind: KindInt, Bits: uint64(i)} }

// Double returns a value of a float.
func Double(f float64) Value { return Value{Kind: KindDouble, Bits: math.Float64bits(f)} }

// Bool returns a value of a boolean.
func Bool(b bool) Value {
	if b {
		return Value{Kind: KindBool, Bits: 1}
	}
	return Value{Kind: KindBool}
}

// AsInt returns the integer that the value is.
func (v Value) AsInt() int64 { return int64(v.Bits) }

// AsDouble returns the float that the value is.
func (v Value) AsDouble() float64 { return math.Float64frombits(v.Bits) }

// AsBool returns the boolean that the value is.
func (v Value) AsBool() bool { return v.Bits != 0 }

// Attributes hands out a point's or a resource's attributes. It is only asked when something is new.
type Attributes interface {
	// Append appends all attributes, in any order.
	Append(to []Attribute) []Attribute
}

// Identity is a hash of a set of attributes, or of what a stream is. It does not depend on the order of the
// attributes, and is the same in every process: it is stored.
//
// With a million streams, that any two of them share an identity has a probability of 3·10⁻⁸.
type Identity uint64

// Add adds an attribute.
func (i *Identity) Add(key string, value Value) {
	i.add(key, uint64(value.Kind), value.Bits^xxhash.Sum64String(value.Str))
}

// AddString adds an attribute whose value is a string: Add without a Value.
func (i *Identity) AddString(key, value string) {
	i.add(key, uint64(KindString), xxhash.Sum64String(value))
}

func (i *Identity) add(key string, kind, value uint64) {
	*i += Identity(mix(xxhash.Sum64String(key), value+kind*golden))
}

// With returns the identity of i together with something else: in an order, unlike Add.
func (i Identity) With(other Identity) Identity { return Identity(mix(uint64(i), uint64(other))) }

// WithString is With the hash of a string.
func (i Identity) WithString(s string) Identity { return i.With(Identity(xxhash.Sum64String(s))) }

const golden = 0x9e3779b97f4a7c15 // 2⁶⁴ divided by the golden ratio

// mix makes one hash of two: (a, b) and (b, a) differ, and so do sums of what it returns (the finalizer of splitmix64).
func mix(a, b uint64) uint64 {
	z := (a+golden)*0xbf58476d1ce4e5b9 ^ (b + golden)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
