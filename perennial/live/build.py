"""Building a bundle: written aside, signed, and made visible in one step."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.errors import BundleError
from perennial.live import publish, sign
from perennial.live.bundle import FORMAT, MANIFEST, SIGNATURE, Bundle, Manifest, open_bundle
from perennial.live.card import model_card
from perennial.live.files import digest
from perennial.live.pack import Parts, write_json, write_parts

if TYPE_CHECKING:
    from perennial.evidence import BundleReference
    from perennial.live.sign import SigningKey


def build_bundle(
    parts: Parts, bundles_folder: Path, key: SigningKey, now: datetime, after: int = 0
) -> BundleReference:
    """Write a bundle as `bundles_folder/v<sequence>` and return its reference.

    The sequence is one more than that of the newest bundle there, and more than `after`, the highest that was
    ever released: a version is never given twice, even where a bundle was deleted. Returns the newest bundle's
    reference where it has the same identity and is sound. Of builders at once each gets a sequence of its own;
    a kill at any moment leaves a whole bundle or none.

    Raises:
        BundleError: where the model cannot be shipped (see `perennial.live.pack.write_parts`).
    """
    with publish.staging(bundles_folder) as folder:
        facts = write_parts(folder, parts, now)
        while True:
            last = max(publish.newest(bundles_folder), after)
            if same := _same(bundles_folder / f"v{last}", facts["identity"], key.public_path):
                return same.as_reference()
            moment = now.astimezone(UTC).isoformat(timespec="seconds")
            facts.update(version=f"v{last + 1}", sequence=last + 1, format=FORMAT, created_at=moment)
            (folder / "MODEL_CARD.md").write_text(model_card(parts, facts), encoding="utf-8")
            contents = (p for p in folder.iterdir() if p.name not in (MANIFEST, SIGNATURE))
            files = {p.name: {"sha256": digest(p), "size": p.stat().st_size} for p in sorted(contents)}
            write_json(folder / MANIFEST, asdict(Manifest(**facts, files=files)))
            signed = (folder / MANIFEST).read_bytes()
            (folder / SIGNATURE).write_bytes(sign.sign(key, signed))
            target = bundles_folder / f"v{last + 1}"
            if publish.publish(folder, target):
                return open_bundle(target, key.public_path).as_reference()


def _same(path: Path, identity: str, public_key: Path) -> Bundle | None:
    """The bundle in `path`, if it is sound and has this identity."""
    try:
        found = open_bundle(path, public_key)
    except BundleError:
        return None
    return found if found.manifest.identity == identity else None
