// Command asynq-exporter serves asynq's own metrics, as asynq's x/metrics makes them, for a comparison.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/x/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Its two arguments are the address to listen on and that of Redis.
func main() {
	inspector := asynq.NewInspector(asynq.RedisClientOpt{Addr: os.Args[2]})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(
		metrics.NewQueueMetricsCollector(inspector),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
