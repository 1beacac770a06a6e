module modelberth.invalid/pushgateway

go 1.26

require github.com/prometheus/pushgateway v1.11.1
