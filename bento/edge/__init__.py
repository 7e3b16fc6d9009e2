"""The agent for a device: pulls the approved release, answers with it on- and offline, and sends its journal home."""
