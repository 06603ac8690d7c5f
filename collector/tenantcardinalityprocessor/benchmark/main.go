// Command benchmark measures the processor beside contrib's, which do the stateless half of its work: they aggregate the
// tenant away within each batch, and cannot turn deltas into cumulative series, name anybody, or bound anything.
//
// For one number of tenants it prints one line of JSON a round: the CPU time in ns of a point on each side, the runtime's
// threads included. Every side gets the same points; their order rotates.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/processor"
)

func main() {
	tenants := flag.Int("tenants", 1000, "number of tenants, one stream each")
	rounds := flag.Int("rounds", 9, "rounds of 100,000 points a side")
	flag.Parse()
	if err := run(context.Background(), *tenants, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// row is what is printed: of a round the ns a point took on each side; at last what the streams cost.
type row struct {
	NS             map[string]float64 `json:"ns,omitempty"`
	BytesPerStream float64            `json:"bytes_per_stream,omitempty"`
	FlushMS        float64            `json:"flush_ms,omitempty"`
}

func run(ctx context.Context, tenants, rounds int) error {
	points, out := newLoad(tenants), json.NewEncoder(os.Stdout)
	processors := make([]processor.Metrics, len(sides))
	for i, s := range sides {
		made, err := s.start(ctx)
		if err != nil {
			return err
		}
		processors[i] = made
	}
	empty := heap()
	for fed := 0; fed < max(tenants, chunkSize); fed += chunkSize { // until every stream is known
		if _, err := consume(ctx, processors[0], points); err != nil {
			return err
		}
	}
	streams := float64(heap()-empty) / float64(tenants)
	for round := range rounds {
		taken := map[string]float64{}
		for i := range sides {
			which := (i + round) % len(sides)
			ns, err := consume(ctx, processors[which], points)
			if err != nil {
				return err
			}
			taken[sides[which].name] = ns
		}
		if err := out.Encode(row{NS: taken}); err != nil {
			return err
		}
	}
	began := time.Now()
	for _, p := range processors {
		if err := p.Shutdown(ctx); err != nil { // ours flushes; the others have nothing to do
			return err
		}
	}
	return out.Encode(row{BytesPerStream: streams, FlushMS: float64(time.Since(began).Microseconds()) / 1000})
}

// consume gives a processor a chunk and returns the CPU time in ns of a point. The points are made before, and what was
// left of earlier ones is collected before; what the processor itself leaves behind is its own cost.
func consume(ctx context.Context, p processor.Metrics, points *load) (float64, error) {
	batches := points.chunk()
	runtime.GC()
	began := cpu()
	for _, batch := range batches {
		if err := p.ConsumeMetrics(ctx, batch); err != nil {
			return 0, err
		}
	}
	return float64(cpu()-began) / chunkSize, nil
}

// cpu returns the CPU time of the process.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// heap returns the bytes in use after everything that can be collected was.
func heap() int64 {
	debug.FreeOSMemory()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
