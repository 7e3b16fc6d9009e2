"""A table: zstd Parquet beside its contract, with a content hash for the cache and a profile to look at."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePosixPath
from typing import Any, ClassVar

import pandas as pd
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from perennial.data.profile import profile_html
from perennial.table import Table, contract_from


class TableMaterializer(BaseMaterializer):
    """Stores a `Table` as `table.parquet` and `contract.json`."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Table,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    def _path(self, name: str) -> str:
        return f"{self.uri}/{PurePosixPath(name)}"

    def load(self, data_type: type[Any]) -> Table:
        """The stored table."""
        with self.artifact_store.open(self._path("contract.json"), "r") as file:
            contract = contract_from(json.load(file))
        with self.artifact_store.open(self._path("table.parquet"), "rb") as file:
            return Table(pd.read_parquet(file), contract)

    def save(self, data: Table) -> None:
        """Writes the table."""
        with self.artifact_store.open(self._path("contract.json"), "w") as file:
            json.dump(data.contract.as_dict(), file, indent=1)
        with self.artifact_store.open(self._path("table.parquet"), "wb") as file:
            data.frame.to_parquet(file, compression="zstd")

    def save_visualizations(self, data: Table) -> dict[str, VisualizationType]:
        """A profile without any single row in it."""
        with self.artifact_store.open(self._path("profile.html"), "w") as file:
            file.write(profile_html(data.frame, data.contract))
        return {self._path("profile.html"): VisualizationType.HTML}

    def extract_metadata(self, data: Table) -> dict[str, Any]:
        """Rows, columns and missing values."""
        missing = int(data.frame.isna().sum().sum())
        return {"rows": len(data), "columns": data.frame.shape[1], "missing_values": missing}

    def compute_content_hash(self, data: Table) -> str:
        """SHA-256 of contract and values, so that equal tables keep later steps cached."""
        digest = hashlib.sha256(data.contract.fingerprint.encode())
        digest.update(",".join(map(str, data.frame.columns)).encode())
        digest.update(pd.util.hash_pandas_object(data.frame, index=False).to_numpy().tobytes())
        return digest.hexdigest()
