"""MLflow's alias `champion` held against the ledger, which alone says what serves."""

from __future__ import annotations

from pathlib import Path

from pipelines.stack import open_stack


def check_mirror(stack: str, folder: Path, system: str, version: str, mend: bool) -> str:
    """A sentence on the mirror of a system whose ledger says that `version` serves.

    Raises:
        ValueError: the mirror says something else, and was not to be mended or could not be.
    """
    open_stack(stack, folder)
    from zenml.client import Client

    from steps.tracking import mirror, mirrored

    Client().active_stack.experiment_tracker.configure_mlflow()
    found = mirrored(system)
    if found == version:
        return f"MLflow's alias champion is {found} too"
    if mend and mirror(system, version):
        return f"MLflow's alias champion was {found or 'not set'}, set to {version}"
    raise ValueError(
        f"expected MLflow's alias champion to be {version}, as the ledger says, found {found or 'none'}; "
        "run `run.py doctor --mend`"
    )
