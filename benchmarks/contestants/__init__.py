"""Crawlers that are measured side by side; each runs in a process, and an environment, of its own."""
