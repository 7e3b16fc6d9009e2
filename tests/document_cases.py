"""Cases that schemathesis makes of a running service's OpenAPI document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance


def cases(
    url: str, path: str, mode: GenerationMode, count: int, judge: Callable[[Any], None]
) -> Counter[int]:
    """How often `count` cases of a POST got which status; fails on an answer that breaks the document.

    What no schema can say (that ids differ, that a time lies on a step) is left to `judge`, which gets every answer.
    """
    document = schemathesis.openapi.from_url(f"{url}/docs.json")
    found: Counter[int] = Counter()
    with requests.Session() as session:

        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=document[path]["POST"].as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            answer = case.call(session=session)
            found[answer.status_code] += 1
            case.validate_response(
                answer, excluded_checks=[positive_data_acceptance, negative_data_rejection]
            )
            judge(answer)

        one()
    return found
