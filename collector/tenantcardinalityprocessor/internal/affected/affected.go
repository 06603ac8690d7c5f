// Package affected counts distinct tenants over a sliding window, in memory that does not grow with their number.
//
// A window is as many sketches as it has parts (HyperLogLog with 4096 registers, sparse while there are few tenants):
// one is filled, and all of them together are asked. Up to about 1,000 tenants the count is exact but for collisions of
// the hash, beyond that its standard error is 1.04/√4096 = 1.6 %.
package affected

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/axiomhq/hyperloglog"
)

const (
	// Parts is how many sketches share a window. The window slides by one of them at a time: what is counted lies
	// between the window and a tenth more back.
	Parts = 10

	precision = 12
)

// Counter counts the distinct tenants of one window. It is not safe for concurrent use.
type Counter struct {
	part     time.Duration
	sketches [Parts + 1]sketch // one is being filled
}

// sketch is what was added in one part of time: the one with this number since 1970.
type sketch struct {
	number int64
	*hyperloglog.Sketch
}

// New returns a counter over a window.
func New(window time.Duration) *Counter {
	return &Counter{part: max(window/Parts, 1)}
}

// Add counts a tenant by a hash of its name: any 64 bits that are evenly spread.
func (c *Counter) Add(hash uint64, now time.Time) {
	number := c.number(now)
	s := &c.sketches[number%int64(len(c.sketches))]
	if s.Sketch == nil || s.number < number { // a clock that went back adds to what is newer
		*s = sketch{number, empty()}
	}
	s.InsertHash(hash)
}

// Count returns about how many tenants were added within the window.
func (c *Counter) Count(now time.Time) uint64 {
	all := empty()
	for _, s := range c.sketches {
		if c.counts(s, now) {
			_ = all.Merge(s.Sketch) // only fails for sketches of different precision
		}
	}
	return all.Estimate()
}

func (c *Counter) number(now time.Time) int64 { return max(now.UnixNano(), 0) / int64(c.part) }

func (c *Counter) counts(s sketch, now time.Time) bool {
	return s.Sketch != nil && s.number >= c.number(now)-Parts
}

func empty() *hyperloglog.Sketch {
	s, _ := hyperloglog.NewSketch(precision, true) // only fails for a precision below 4 or above 18
	return s
}

// AppendBinary appends what UnmarshalBinary takes: the window's part in ns, then number, length and sketch of each.
func (c *Counter) AppendBinary(data []byte) ([]byte, error) {
	data = binary.AppendUvarint(data, uint64(c.part))
	for _, s := range c.sketches {
		if s.Sketch == nil {
			continue
		}
		encoded, err := s.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("sketch of part %d: %w", s.number, err)
		}
		data = binary.AppendUvarint(data, uint64(s.number))
		data = binary.AppendUvarint(data, uint64(len(encoded)))
		data = append(data, encoded...)
	}
	return data, nil
}

var errCut = errors.New("the data ends within a sketch")

// UnmarshalBinary takes over what AppendBinary wrote. A counter over another window begins anew, without an error.
func (c *Counter) UnmarshalBinary(data []byte) error {
	part, data, err := uvarint(data)
	if err != nil {
		return err
	}
	read := Counter{part: c.part}
	for len(data) > 0 {
		var s sketch
		if s, data, err = readSketch(data); err != nil {
			return err
		}
		read.sketches[s.number%int64(len(read.sketches))] = s
	}
	if time.Duration(part) == c.part {
		*c = read
	}
	return nil
}

func readSketch(data []byte) (sketch, []byte, error) {
	number, data, err := uvarint(data)
	if err != nil {
		return sketch{}, nil, err
	}
	length, data, err := uvarint(data)
	if err != nil || length > uint64(len(data)) || number > 1<<62 {
		return sketch{}, nil, errCut
	}
	s := sketch{int64(number), empty()}
	if err := s.UnmarshalBinary(data[:length]); err != nil {
		return sketch{}, nil, fmt.Errorf("sketch of part %d: %w", number, err)
	}
	if err := empty().Merge(s.Sketch); err != nil {
		return sketch{}, nil, fmt.Errorf("sketch of part %d: %w", number, err)
	}
	return s, data[length:], nil
}

func uvarint(data []byte) (uint64, []byte, error) {
	value, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil, errCut
	}
	return value, data[n:], nil
}
