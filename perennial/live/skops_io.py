"""skops without the half second that its import spends on modules that nobody asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

UNUSED = (*(f"sklearn.externals.array_api_compat.{name}" for name in ("cupy", "dask", "torch")), "pytest")
"""scikit-learn's bridges to other array libraries, which import dask and PyTorch, and what its own tests need."""


def skops_io() -> Any:
    """The module `skops.io`, the same in all that it does and trusts; raises ImportError where it is missing.

    At import skops lists scikit-learn's estimators, which walks over every package of scikit-learn, and looks for
    each of SciPy's functions in all loaded modules, the first loaded first. It is quickest before other large
    packages are imported.
    """
    if "skops" not in sys.modules:
        import scipy.special  # noqa: F401  (among the first modules, so that its functions are found early)

        with _absent(UNUSED):
            importlib.import_module("skops.io")
    return importlib.import_module("skops.io")


@contextmanager
def _absent(names: tuple[str, ...]) -> Iterator[None]:
    """Runs a block in which those of these modules that are not loaded yet cannot be found."""
    modules: dict[str, Any] = sys.modules
    hidden = dict.fromkeys(name for name in names if name not in modules)
    modules.update(hidden)  # a module that is None is one that cannot be imported
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
