package core

import "math"

// Resource is where points come from: a process, as a rule.
type Resource struct {
	Identity Identity   // of all its attributes
	Kept     Attributes // those that outputs keep
}

// Kind is how points of a metric are counted.
type Kind uint8

// The kinds of metrics.
const (
	KindSum Kind = iota
	KindGauge
	KindExplicit
	KindExponential
)

// Metric is what points belong to.
type Metric struct {
	Scope         string
	ScopeIdentity Identity // of the scope's version and attributes: they tell streams apart, and are summed away
	Name          string
	Unit          string
	Description   string
	Kind          Kind
	Monotonic     bool // of sums
	Delta         bool // of sums and histograms
}

// Point is what points of all kinds have in common. The core keeps neither it nor what it points to.
type Point struct {
	Identity   Identity // of its attributes
	Tenant     string
	Plan       string
	Tier       string
	Attributes Attributes
	Start      int64 // ns since 1970, 0 if it is not known
	Time       int64
	NoValue    bool // NoRecordedValue: nothing is counted
	Exemplars  []Exemplar
}

// Number is the value of a sum or a gauge.
type Number struct {
	IsInt bool
	Int   int64
	Float float64
}

// Explicit is the value of a histogram with explicit bounds: as many counts as bounds and one more.
type Explicit struct {
	Count  uint64
	Sum    float64
	HasSum bool
	Bounds []float64
	Counts []uint64
}

// Exponential is the value of an exponential histogram.
type Exponential struct {
	Count         uint64
	Sum           float64
	HasSum        bool
	Scale         int32
	ZeroCount     uint64
	ZeroThreshold float64
	Positive      Buckets
	Negative      Buckets
}

// Buckets are one side of an exponential histogram: Counts[i] lies in (base^(Offset+i), base^(Offset+i+1)].
type Buckets struct {
	Offset int32
	Counts []uint64
}

// Exemplar is one measurement of those that a point is made of.
type Exemplar struct {
	Time       int64
	Value      Number
	TraceID    [16]byte
	SpanID     [8]byte
	Attributes []Attribute
}

// IntNumber returns a number that is an integer.
func IntNumber(i int64) Number { return Number{IsInt: true, Int: i} }

// FloatNumber returns a number that is a float.
func FloatNumber(f float64) Number { return Number{Float: f} }

// AsFloat returns the number as a float.
func (n Number) AsFloat() float64 {
	if n.IsInt {
		return float64(n.Int)
	}
	return n.Float
}

// finite tells whether the number can be added to a sum without spoiling it for good.
func (n Number) finite() bool {
	return n.IsInt || !math.IsNaN(n.Float) && !math.IsInf(n.Float, 0)
}
