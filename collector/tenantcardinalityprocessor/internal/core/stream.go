package core

import "math"

// stream is what is remembered of one input: 64 bytes, without pointers.
type stream struct {
	identity Identity // 0: free
	end      int64    // the time up to which it was counted
	// start is a cumulative stream's start time. Of a delta stream it is where the gap begins.
	start int64
	// value is the last one of a cumulative stream or of a level. Of other delta streams it is where the gap ends.
	value    uint64
	resource uint32
	tenant   uint32
	series   uint32 // where it is counted; 0: it has to be routed first
	epoch    uint32 // of the routing
	seen     uint32 // s since 1970, when it last came
	memory   uint32 // of a cumulative histogram: the last one
	flags    streamFlags
}

func (st *stream) id() Identity { return st.identity }

type streamFlags uint8

const (
	isInt      streamFlags = 1 << iota // value is an integer
	isDelta                            // each point is an increase
	isLevel                            // a gauge or an up-down counter: its last value counts
	isExplicit                         // a histogram: what kind its memory is of
	isExponential
	isSqueezed // of a named tenant, but there was no room for a series of its own
	isTrimmed  // its series keeps only some of its attributes
	isAffected // its tenant was counted among the affected ones, in the part of the window that it was last seen in

	kindFlags = isDelta | isLevel | isExplicit | isExponential
)

func (st *stream) is(flag streamFlags) bool { return st.flags&flag != 0 }

func (st *stream) number() Number {
	if st.is(isInt) {
		return IntNumber(int64(st.value))
	}
	return FloatNumber(math.Float64frombits(st.value))
}

func (st *stream) remember(n Number) {
	st.flags &^= isInt
	if st.value = math.Float64bits(n.Float); n.IsInt {
		st.value = uint64(n.Int)
		st.flags |= isInt
	}
}

// window counts the window of a delta point, if none of it was counted before. Between what was counted and a window
// that begins later is a gap; the newest one is remembered, and points that come late may fill it, in parts. All
// that is before the first window is a gap too.
func (st *stream) window(start, end int64) Outcome {
	gapFrom, gapTo := st.start, int64(st.value)
	unknown := start <= 0 || start >= end // then it is all that was not counted before
	switch {
	case end > st.end && unknown:
		st.end = end
	case end > st.end && start >= st.end:
		if start > st.end {
			st.start, st.value = st.end, uint64(start)
		}
		st.end = end
	case !unknown && gapFrom <= start && end <= gapTo:
		if end < gapTo {
			st.start = end
		} else {
			st.value = uint64(start)
		}
	default:
		return Duplicate
	}
	return Accepted
}

// step is how the increase since the last point of a cumulative stream is computed.
type step uint8

const (
	drop       step = iota
	difference      // between the values
	whole           // all of the value: it began anew
	baseline        // none: what was counted before is not known
)

// advance moves a cumulative stream that is known to a point's start and time. For the rules see the data model,
// "Resets and Gaps" and "Cumulative Streams: handling unknown start time".
func (st *stream) advance(start, time int64) (step, Outcome) {
	switch {
	case start >= time && time > st.end: // it began anew, nobody knows from what
		st.start, st.end = time, time
		return baseline, Baseline
	case start <= 0 || start == st.start || st.start == 0 && start < st.end:
		if time <= st.end {
			return drop, Duplicate
		}
		st.start, st.end = max(start, st.start), time
		return difference, Accepted
	case start < st.start:
		return drop, Late
	case start >= time:
		return drop, Duplicate
	default:
		st.start, st.end = start, time
		return whole, Accepted
	}
}
