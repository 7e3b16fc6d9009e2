"""From the world to a clean table."""
