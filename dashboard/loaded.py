"""Bundles and models that pages share: opened once per release, and not once per click."""

from __future__ import annotations

import streamlit as st

from dashboard import setting as settings
from dashboard.setting import Setting
from perennial.errors import LedgerError
from perennial.live.bundle import Bundle
from perennial.live.load import load_predictor
from perennial.live.predict import Predictor


def champion(setting: Setting) -> Bundle:
    """The bundle of the release that answers at this moment, checked; raises LedgerError or BundleError."""
    return _opened(setting, settings.champion_digest(setting))


def predictor(setting: Setting, bundle: Bundle) -> Predictor:
    """A model that repeated its golden rows; raises BundleError."""
    return _loaded(bundle, str(setting.releases), bundle.digest)


@st.cache_resource(show_spinner=False, max_entries=4, hash_funcs={Setting: lambda s: str(s.releases)})
def _opened(setting: Setting, digest: str) -> Bundle:
    found = settings.champion(setting)
    if found.digest != digest:
        raise LedgerError("another release came just now; load the page again")
    return found


@st.cache_resource(show_spinner="Loading the model", max_entries=2)
def _loaded(_bundle: Bundle, releases: str, digest: str) -> Predictor:
    return load_predictor(_bundle)
