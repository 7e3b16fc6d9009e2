"""A small world on localhost: sites and APIs that behave like the real ones, with generated data."""
