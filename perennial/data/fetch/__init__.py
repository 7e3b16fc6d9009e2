"""Asking hosts over HTTP: politely, within limits, and with a named outcome for every request."""
