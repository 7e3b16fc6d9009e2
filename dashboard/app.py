"""The page that `python run.py ui` starts: `streamlit run dashboard/app.py -- --config ...`."""

from __future__ import annotations

import sys
from functools import partial

import streamlit as st

from dashboard import forecast, review, try_it
from dashboard.setting import read
from dashboard.trouble import told


def main(words: list[str]) -> None:
    """Draws the page that was chosen."""
    st.set_page_config(page_title="Perennial", layout="centered")
    with told():
        setting = read(words)
        pages = [
            st.Page(partial(try_it.show, setting), title="Try it", url_path="try", default=True),
            st.Page(partial(forecast.show, setting), title="Forecast", url_path="forecast"),
            st.Page(partial(review.show, setting), title="Review", url_path="review"),
        ]
        st.navigation(pages, position="top").run()


if __name__ == "__main__":
    main(sys.argv[1:])
