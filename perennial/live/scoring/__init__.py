"""Scoring the rows of somebody's own database with the released model, and what people say of the scores."""
