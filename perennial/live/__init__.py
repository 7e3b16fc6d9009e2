"""From a decision to a living model: what ships, what serves, and what is remembered."""
