"""What a page says when something goes wrong: one sentence, and never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.words import plain, sentence
from perennial.errors import PerennialError

logger = logging.getLogger(__name__)


@contextmanager
def told() -> Iterator[None]:
    """A block whose errors become one sentence on the page, and end the page there."""
    try:
        yield
    except PerennialError as error:
        problem = str(error)
    except Exception:  # the last line of defence: no trace reaches a person unasked
        logger.exception("the page failed")
        problem = "The page failed to do that; the cause is in its log, where `run.py ui` was started."
    else:
        return
    st.error(plain(sentence(problem)))
    st.stop()
