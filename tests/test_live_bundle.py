"""A bundle is whole, signed and unchanged, or it does not load; building one survives kills and company."""

from __future__ import annotations

import io
import json
import multiprocessing
import pickletools
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_fixtures import MODELS, NOW, cars, parts
from sklearn.linear_model import Ridge

from perennial.errors import BundleError, NotEnoughDataError
from perennial.live import bundle, publish, sign
from perennial.live.build import build_bundle
from perennial.live.files import digest
from perennial.live.load import load_predictor
from perennial.live.pack import id_words, write_json
from perennial.live.sign import SigningKey

FILES = {
    "manifest.json",
    "manifest.sig",
    "contract.json",
    "answer.json",
    "model.onnx",
    "model.skops",
    "reference.json",
    "golden.json",
    "config.json",
    "metrics.json",
    "fitted_rows.npy",
    "MODEL_CARD.md",
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return sign.key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    return Path(build_bundle(parts("forest"), tmp_path_factory.mktemp("bundles"), key, NOW).path)


@pytest.fixture
def copied(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "v1"))


@pytest.mark.parametrize("kind", MODELS)
def test_round_trip(kind: str, tmp_path: Path, key: SigningKey) -> None:
    built = parts(kind)
    reference = build_bundle(built, tmp_path / "bundles", key, NOW)
    opened = bundle.open_bundle(reference.path, key.public_path)
    assert (reference.version, reference.sequence) == ("v1", 1)
    assert opened.as_reference() == reference
    assert opened.contract == built.contract
    assert opened.rule == built.rule
    assert opened.manifest.backend == "onnx"
    assert opened.manifest.parity["passed"] is True
    assert opened.manifest.contract_fingerprint == built.contract.fingerprint
    assert opened.metrics["evaluation"] == built.evaluation.model_dump(mode="json")
    assert opened.metrics["seed"] == built.seed
    assert opened.metrics["time"] == opened.manifest.created_at
    np.testing.assert_array_equal(opened.fitted_rows, np.unique(id_words(built.train.ids)))
    assert {p.name for p in opened.path.iterdir()} == FILES
    assert [p.name for p in (tmp_path / "bundles").iterdir()] == ["v1"]
    load_predictor(opened)


def test_manifest_names_every_other_file_with_its_digest_and_size(sound: Path) -> None:
    manifest = json.loads((sound / "manifest.json").read_text())
    assert set(manifest["files"]) == FILES - {"manifest.json", "manifest.sig"}
    for name, told in manifest["files"].items():
        assert told == {"sha256": digest(sound / name), "size": (sound / name).stat().st_size}
    assert manifest["environment"]["scikit-learn"]
    assert manifest["created_at"] == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_one_flipped_byte_is_refused_by_the_files_name(
    name: str, place: float, copied: Path, key: SigningKey
) -> None:
    content = bytearray((copied / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    (copied / name).write_bytes(content)
    named = "manifest" if name.startswith("manifest") else name
    with pytest.raises(BundleError, match=named):
        bundle.open_bundle(copied, key.public_path)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_removed_file_is_named(name: str, copied: Path, key: SigningKey) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleError, match=name):
        bundle.open_bundle(copied, key.public_path)


def test_an_added_file_is_named(copied: Path, key: SigningKey) -> None:
    (copied / "model.pkl").write_bytes(b"")
    with pytest.raises(BundleError, match=r"model\.pkl"):
        bundle.open_bundle(copied, key.public_path)


def test_a_link_in_place_of_a_file_is_refused(copied: Path, key: SigningKey, tmp_path: Path) -> None:
    (copied / "model.onnx").rename(tmp_path / "elsewhere")
    (copied / "model.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        bundle.open_bundle(copied, key.public_path)


def test_another_key_is_refused(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="expected a signature"):
        bundle.open_bundle(sound, sign.key_pair(tmp_path).public_path)


def test_no_folder_is_told(tmp_path: Path, key: SigningKey) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        bundle.open_bundle(tmp_path / "v9", key.public_path)


def test_a_change_between_opening_and_loading_is_refused(copied: Path, key: SigningKey) -> None:
    opened = bundle.open_bundle(copied, key.public_path)
    (copied / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"model\.onnx was changed"):
        load_predictor(opened)


def resigned(folder: Path, key: SigningKey, **changes: Any) -> None:
    """Sign the folder as it is now, with changes to its manifest: what a builder of ours could do wrong."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name] = {"sha256": digest(folder / name), "size": (folder / name).stat().st_size}
    write_json(folder / "manifest.json", {**manifest, **changes})
    (folder / "manifest.sig").write_bytes(sign.sign(key, (folder / "manifest.json").read_bytes()))


@pytest.mark.parametrize("changes", [{"format": 2}, {"unknown_field": 1}])
def test_another_format_is_refused(changes: dict[str, Any], copied: Path, key: SigningKey) -> None:
    resigned(copied, key, **changes)
    with pytest.raises(BundleError, match="in format 1"):
        bundle.open_bundle(copied, key.public_path)


def test_a_signed_model_that_answers_wrongly_does_not_load(
    copied: Path, tmp_path: Path, key: SigningKey
) -> None:
    other = build_bundle(parts("forest", seed=5), tmp_path / "other", key, NOW)
    shutil.copy(Path(other.path) / "model.onnx", copied / "model.onnx")
    resigned(copied, key)
    opened = bundle.open_bundle(copied, key.public_path)
    with pytest.raises(BundleError, match="golden rows are answered differently"):
        load_predictor(opened)
    load_predictor(opened, replay=False)


def test_no_file_holds_a_pickle(sound: Path) -> None:
    for path in sound.iterdir():
        assert path.suffix not in {".pkl", ".pickle", ".joblib", ".dill"}
        contents = [path.read_bytes()]
        if path.suffix == ".skops":
            with zipfile.ZipFile(path) as packed:
                assert {Path(n).suffix for n in packed.namelist()} <= {".npy", ".json"}
                contents = [packed.read(name) for name in packed.namelist()]
        for content in contents:
            assert not is_pickle(content), path
            if content.startswith(b"\x93NUMPY"):
                np.load(io.BytesIO(content), allow_pickle=False)


def is_pickle(content: bytes) -> bool:
    try:
        return bool(content) and sum(1 for _ in pickletools.genops(content)) > 1
    except (ValueError, UnicodeDecodeError):
        return False


def test_the_pickle_finder_finds_pickles() -> None:
    import pickle

    assert all(is_pickle(pickle.dumps({"a": [1.5]}, protocol=p)) for p in range(6))


def test_the_same_content_is_not_written_twice(tmp_path: Path, key: SigningKey) -> None:
    first = build_bundle(parts("ridge"), tmp_path, key, NOW)
    again = build_bundle(parts("ridge"), tmp_path, key, NOW + timedelta(days=1))
    assert again == first
    built = parts("ridge")
    for number, other in enumerate(
        (
            replace(built, config_digest="0" * 64),
            replace(built, code_digest="0" * 64),
            replace(built, dataset=built.dataset.model_copy(update={"fingerprint": "0" * 64})),
            replace(built, rule=replace(built.rule, interval=None)),
            replace(built, estimator=parts("ridge", seed=3).estimator),
        ),
        start=2,
    ):
        assert build_bundle(other, tmp_path, key, NOW).sequence == number
    assert [p.name for p in sorted(tmp_path.iterdir())] == [f"v{i}" for i in range(1, 7)]


def test_a_damaged_newest_bundle_is_not_taken_for_the_same(tmp_path: Path, key: SigningKey) -> None:
    first = build_bundle(parts("ridge"), tmp_path, key, NOW)
    (Path(first.path) / "metrics.json").write_text("{}")
    assert build_bundle(parts("ridge"), tmp_path, key, NOW).version == "v2"


def test_a_model_that_cannot_take_missing_values_is_not_shipped(tmp_path: Path, key: SigningKey) -> None:
    built = parts("ridge")
    model = Ridge().fit(np.nan_to_num(built.train.X), built.train.y)
    with pytest.raises(BundleError, match="refuses rows with missing values"):
        build_bundle(replace(built, estimator=model), tmp_path, key, NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_holdout_that_no_request_could_hold_is_told(tmp_path: Path, key: SigningKey) -> None:
    built = parts("ridge")
    holdout = replace(built.holdout, frame=built.holdout.frame.assign(mileage=np.nan))
    with pytest.raises(NotEnoughDataError, match="golden rows"):
        build_bundle(replace(built, holdout=holdout), tmp_path, key, NOW)


@pytest.mark.parametrize(("mode", "parity"), [("off", {}), ("required", {"passed": False, "required": True})])
def test_what_serves_where_there_is_no_export(
    mode: str, parity: dict[str, Any], tmp_path: Path, key: SigningKey
) -> None:
    """An impossible tolerance stands for an export that fails its gate."""
    built = parts("ridge")
    options = built.options.model_copy(update={"onnx": mode, "parity_largest": 1e-300})
    opened = bundle.open_bundle(
        build_bundle(replace(built, options=options), tmp_path, key, NOW).path, key.public_path
    )
    assert opened.manifest.backend == "skops"
    assert parity.items() <= opened.manifest.parity.items()
    assert bool(opened.manifest.parity) is (mode == "required")
    assert not (opened.path / "model.onnx").exists()
    load_predictor(opened)


def _build(folder: str, keys: str, seed: int) -> None:
    build_bundle(parts("ridge", seed=seed), Path(folder), sign.key_pair(Path(keys)), NOW)


def test_builders_at_once_get_numbers_of_their_own(tmp_path: Path, key: SigningKey) -> None:
    context = multiprocessing.get_context("fork")
    folder, keys = str(tmp_path / "bundles"), str(key.public_path.parent)
    processes = [context.Process(target=_build, args=(folder, keys, seed)) for seed in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [p.exitcode for p in processes] == [0] * 4
    found = [bundle.open_bundle(p, key.public_path) for p in sorted((tmp_path / "bundles").iterdir())]
    assert [b.manifest.sequence for b in found] == [1, 2, 3, 4]
    assert {b.manifest.seed for b in found} == {0, 1, 2, 3}
    assert all(b.path.name == b.manifest.version for b in found)


def test_a_taken_number_is_passed_over(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another builder publishes between our look and our rename, every time but the last."""
    seen = iter([0, 0, 1, 2])
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "file").touch()
    monkeypatch.setattr(publish, "newest", lambda folder: next(seen))
    assert build_bundle(parts("ridge"), tmp_path, key, NOW).version == "v2"


KILLED = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from live_fixtures import NOW, parts
from perennial.live import sign
from perennial.live.build import build_bundle
from perennial.live.export import convert, parity
key, built = sign.key_pair(Path({keys!r})), [parts("ridge", seed=s) for s in range(3)]
print("ready", flush=True)
for part in built:
    build_bundle(part, Path({folder!r}), key, NOW)
"""


def kill_while_building(delay: float | None, folder: Path, key: SigningKey) -> bool:
    """Kill a builder `delay` seconds after it starts (None: once v1 is visible); whether it was alive."""
    tests = Path(__file__).parent
    code = KILLED.format(
        root=str(tests.parent), tests=str(tests), keys=str(key.public_path.parent), folder=str(folder)
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    while delay is None and not (folder / "v1").exists():
        assert process.poll() is None
    time.sleep(delay or 0)
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return alive


def check_after_a_kill(folder: Path, key: SigningKey) -> None:
    """Everything visible is whole, and the next build cleans up and succeeds."""
    before = [p for p in folder.iterdir() if not p.name.startswith(".")] if folder.exists() else []
    for path in before:
        bundle.open_bundle(path, key.public_path)
    built = build_bundle(parts("ridge", seed=99), folder, key, NOW)
    load_predictor(bundle.open_bundle(built.path, key.public_path))
    assert built.sequence == len(before) + 1
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("delay", [0.02, 0.3, None])
def test_a_killed_builder_leaves_whole_bundles_only(
    delay: float | None, tmp_path: Path, key: SigningKey
) -> None:
    kill_while_building(delay, tmp_path / "bundles", key)
    check_after_a_kill(tmp_path / "bundles", key)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_many_kills_at_random_moments(tmp_path: Path, key: SigningKey) -> None:
    rng = np.random.default_rng()
    alive = 0
    for round_number in range(40):
        folder = tmp_path / str(round_number)
        alive += kill_while_building(float(rng.uniform(0, 1.5)), folder, key)
        check_after_a_kill(folder, key)
    assert alive >= 10


def test_only_folders_of_dead_builders_are_removed(tmp_path: Path) -> None:
    with publish.staging(tmp_path) as alive:
        dead = tmp_path / f"{publish.STAGING}dead"
        dead.mkdir()
        (dead / "half").write_text("x")
        dead.with_name(f"{dead.name}.lock").touch()
        assert publish.remove_abandoned(tmp_path) == [dead.name]
        assert alive.is_dir()
        assert not dead.exists()
    assert list(tmp_path.iterdir()) == []


def test_parts_are_not_changed(tmp_path: Path, key: SigningKey) -> None:
    built = parts("forest")
    before = built.train.frame.copy(), built.contract.as_dict(), asdict(built.rule)
    build_bundle(built, tmp_path, key, NOW)
    assert built.train.frame.equals(before[0])
    assert (built.contract.as_dict(), asdict(built.rule)) == before[1:]


def test_ids_of_sixteen_hex_digits_are_the_numbers_they_spell() -> None:
    assert id_words(["00000000000000ff", "ffffffffffffffff"]).tolist() == [255, 2**64 - 1]
    assert len(set(id_words(["a", "b", 7, "00000000000000FF"]).tolist())) == 4
    assert len(id_words(cars(40, 0).ids)) == 40
