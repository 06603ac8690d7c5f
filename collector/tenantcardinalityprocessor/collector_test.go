package tenantcardinalityprocessor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// interval is between two flushes in all tests that run in a bubble of time.
const interval = 10 * time.Second

var errRefused = errors.New("refused")

// collector is a processor with a real file_storage, and whoever it sends to, who holds sending meanwhile. It can be
// killed.
type collector struct {
	config    *Config
	directory string // of the storages, one after each kill
	storages  int
	next      consumer.Metrics
	sending   sync.Mutex
	// before and after are called when something is sent, and when it arrived.
	before, after func() error

	host      host
	processor processor.Metrics
	telemetry *componenttest.Telemetry // nil: it is not up
	received  int                      // points, by this one
	refused   int                      // points, by those before it
	errs      []error
}

// Capabilities and ConsumeMetrics are of who is next.
func (*collector) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeMetrics passes on what is sent.
func (c *collector) ConsumeMetrics(ctx context.Context, metrics pmetric.Metrics) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	for _, take := range []func() error{
		c.before, func() error { return c.next.ConsumeMetrics(ctx, metrics) }, c.after,
	} {
		if take == nil {
			continue
		}
		if err := take(); err != nil {
			return err
		}
	}
	return nil
}

// hook says what is called before and after something is sent.
func (c *collector) hook(before, after func() error) {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.before, c.after = before, after
}

func (c *collector) check(err error) {
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

func (c *collector) path() string { return filepath.Join(c.directory, fmt.Sprint(c.storages)) }

// up starts a collector on the present storage, between two ticks of everything else.
func (c *collector) up() {
	c.check(os.MkdirAll(c.path(), 0o700))
	c.host, c.telemetry, c.received = fileStorage(c, c.path()), componenttest.NewTelemetry(), 0
	set := processortest.NewNopSettings(componentType)
	set.TelemetrySettings = c.telemetry.NewTelemetrySettings()
	made, err := NewFactory().CreateMetrics(context.Background(), set, c.config, c)
	c.check(err)
	c.processor = made
	c.check(c.processor.Start(context.Background(), c.host))
	time.Sleep(100 * time.Millisecond)
}

// down stops the collector; it flushes for the last time. What became of every point it got is known.
func (c *collector) down() {
	outcomes := c.outcomes()
	sum := 0
	for _, points := range outcomes {
		sum += points
	}
	if sum != c.received {
		c.check(fmt.Errorf("%d points were received, the outcomes are %v", c.received, outcomes))
	}
	c.refused += outcomes["refused"]
	c.check(c.telemetry.Shutdown(context.Background()))
	c.telemetry = nil
	c.check(c.processor.Shutdown(context.Background()))
	for _, extension := range c.host {
		c.check(extension.Shutdown(context.Background()))
	}
}

// outcomes says what became of the points that this one got.
func (c *collector) outcomes() map[string]int {
	found := map[string]int{}
	if c.telemetry == nil {
		return found
	}
	points, err := c.telemetry.GetMetric(metricPrefix + "points")
	c.check(err)
	for _, point := range points.Data.(metricdata.Sum[int64]).DataPoints {
		outcome, _ := point.Attributes.Value("outcome")
		found[outcome.AsString()] = int(point.Value)
	}
	return found
}

// Errorf and FailNow let require speak.
func (c *collector) Errorf(format string, arguments ...any) {
	c.check(fmt.Errorf(format, arguments...))
}
func (*collector) FailNow() { panic("cannot go on") }

// copied leaves the storage as it is at this moment to the next collector.
func (c *collector) copied() {
	before := c.path()
	c.storages++
	c.check(os.CopyFS(c.path(), os.DirFS(before)))
}

// gone lets nobody see what a killed collector still does.
func (c *collector) gone() {
	c.hook(func() error { return errRefused }, nil)
	c.down()
	c.hook(nil, nil)
	c.up()
}

// consume gives it a copy.
func (c *collector) consume(metrics pmetric.Metrics) error {
	sent := pmetric.NewMetrics()
	metrics.CopyTo(sent)
	c.received += metrics.DataPointCount()
	return c.processor.ConsumeMetrics(context.Background(), sent)
}
