"""Every figure that a service or a device shows at `/metrics`; a name that is not here does not exist.

The service and the edge agent make their instruments from these lists; `python -m ops` makes the Prometheus rules,
the Grafana dashboards and the table in docs/metrics.md.
"""
