"""A fitted model: skops for the estimator, JSON for the rest. Never a pickle."""

from __future__ import annotations

import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType
from zenml.materializers.base_materializer import BaseMaterializer

from perennial.learn.models import FittedModel
from perennial.live.answer import rule_from
from perennial.live.export.convert import to_skops
from perennial.live.models import load_skops
from perennial.table import contract_from


class FittedModelMaterializer(BaseMaterializer):
    """Stores a `FittedModel` as `model.skops` and `model.json`."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (FittedModel,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL

    def load(self, data_type: type[Any]) -> FittedModel:
        """The stored model; its types are checked against our own allow-list."""
        with self.artifact_store.open(f"{self.uri}/model.json", "r") as file:
            facts = json.load(file)
        with self.artifact_store.open(f"{self.uri}/model.skops", "rb") as file:
            stored = file.read()
        facts |= {"contract": contract_from(facts["contract"]), "rule": rule_from(facts["rule"])}
        return FittedModel(estimator=_estimator(stored), skops=stored, **facts)

    def save(self, data: FittedModel) -> None:
        """Writes the model."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.skops"
            to_skops(data.estimator, path)
            with self.artifact_store.open(f"{self.uri}/model.skops", "wb") as file:
                file.write(path.read_bytes())
        with self.artifact_store.open(f"{self.uri}/model.json", "w") as file:
            json.dump(_facts(data), file, indent=1)

    def extract_metadata(self, data: FittedModel) -> dict[str, Any]:
        """What was fitted, and how long it took."""
        return {"candidate": data.candidate, "parameters": dict(data.parameters), "fit_seconds": data.seconds}


@lru_cache(maxsize=1)
def _estimator(stored: bytes) -> Any:
    """The estimator of a skops file. Several steps of a run load the same one, and none changes it."""
    return load_skops(stored)


def _facts(model: FittedModel) -> dict[str, Any]:
    return {
        "candidate": model.candidate,
        "parameters": dict(model.parameters),
        "seconds": model.seconds,
        "contract": model.contract.as_dict(),
        "rule": model.rule.as_dict(),
    }
