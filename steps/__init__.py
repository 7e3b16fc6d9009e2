"""One ZenML step per file: read inputs, call one function of `perennial`, log, return."""
