"""A bundle: its files as they are, so that signature and digests still hold; the model card is shown."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from perennial.home import home
from perennial.live.bundle import MANIFEST, Bundle, open_bundle
from perennial.live.publish import publish
from perennial.live.sign import PUBLIC


class BundleMaterializer(BaseMaterializer):
    """Stores a `Bundle` file by file."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Bundle,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL

    def load(self, data_type: type[Any]) -> Bundle:
        """The stored bundle, kept by digest in the state folder and checked again against our public key."""
        with self.artifact_store.open(f"{self.uri}/{MANIFEST}", "rb") as file:
            folder = home().fetched / hashlib.sha256(file.read()).hexdigest()
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
                for name in map(str, self.artifact_store.listdir(self.uri)):
                    with self.artifact_store.open(f"{self.uri}/{name}", "rb") as file:
                        (Path(partial) / name).write_bytes(file.read())
                publish(Path(partial), folder)
        return open_bundle(folder, home().keys / PUBLIC)

    def save(self, data: Bundle) -> None:
        """Copies the bundle's files."""
        for path in data.path.iterdir():
            with self.artifact_store.open(f"{self.uri}/{path.name}", "wb") as file:
                file.write(path.read_bytes())

    def save_visualizations(self, data: Bundle) -> dict[str, VisualizationType]:
        """The model card."""
        return {f"{self.uri}/MODEL_CARD.md": VisualizationType.MARKDOWN}

    def extract_metadata(self, data: Bundle) -> dict[str, Any]:
        """Version, candidate and what serves it."""
        manifest = data.manifest
        return {"version": manifest.version, "candidate": manifest.candidate, "backend": manifest.backend}

    def compute_content_hash(self, data: Bundle) -> str:
        """The digest of the manifest, which holds the digests of all files."""
        return data.digest
