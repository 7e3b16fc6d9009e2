"""From a released model to scores in somebody's own database."""

from __future__ import annotations

from zenml import pipeline
from zenml.enums import ExecutionMode

import materializers  # noqa: F401  (first registration wins)
from perennial.config_score import Score
from steps.score import score


@pipeline(name="scoring", enable_cache=False, execution_mode=ExecutionMode.FAIL_FAST)
def scoring(system: str, section: Score, releases: str, version: str, again: bool, journal: str) -> None:
    """Scores of one stock table.

    Args:
        system: whose model scores.
        section: the config's `score:` section, with references in place of secrets.
        releases: the folder of bundles and ledgers.
        version: the release that scores, such as v3.
        again: score every row, whether or not it has this score.
        journal: the config's journal.address, for `section.journal`.
    """
    score(system, section, releases, version, again, journal)
