"""What runs Perennial beside itself: images, Prometheus rules and Grafana dashboards; see docs/metrics.md."""
