"""The service that answers predictions from the releases folder. Knows neither ZenML nor MLflow."""
