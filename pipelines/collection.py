"""From the world to a dataset version with its profile. Only the profile of a version is ever cached."""

from __future__ import annotations

from zenml import pipeline
from zenml.config import CachePolicy
from zenml.enums import ExecutionMode

import materializers  # noqa: F401  (first registration wins)
from perennial.config import Config
from perennial.config_web import WebSource
from pipelines.source_digest import cache_key
from steps.accept import accept
from steps.collect import collect
from steps.explore import explore
from steps.gather import gather


@pipeline(
    name="collection",
    cache_policy=CachePolicy(cache_func=cache_key),
    execution_mode=ExecutionMode.FAIL_FAST,
)
def collection(config: Config, manner: dict[str, str]) -> None:
    """One collection: feeds are gathered, judged and taken in; other sources are read whole.

    Args:
        config: the resolved config.
        manner: how it is collected: `reparse`, `record` or `replay`.
    """
    system, source, seed = config.system, config.source, config.seed
    if isinstance(source, WebSource):
        gathered = gather(system, source, manner)
        dataset, _ = accept(gathered, system, source)
    else:
        dataset = collect(system, source, seed)
    explore(dataset, system, config.profile, seed)
