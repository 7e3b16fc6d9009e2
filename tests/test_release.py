"""Promotion and rollback: with real bundles, real processes and real damage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from releases import NOW, YES, build, damage

from perennial.errors import BundleError, LedgerError, StalePromotionError, UnknownNameError
from perennial.evidence import Decision, Reason
from perennial.live import ledger, release
from perennial.live.bundle import SIGNATURE
from perennial.live.models import OnnxModel
from perennial.live.sign import SigningKey, key_pair, sign

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """Three bundles of one system, none of them promoted."""
    folder = tmp_path_factory.mktemp("stock")
    for strength in (0.1, 1.0, 10.0):
        build(folder, key, "kinds", strength)
    return folder


@pytest.fixture
def releases(stock: Path, tmp_path: Path) -> Path:
    shutil.copytree(stock, tmp_path / "releases")
    return tmp_path / "releases"


def promoted(releases: Path, key: SigningKey, *versions: str) -> None:
    for hour, version in enumerate(versions):
        head = len(release.history(releases, "kinds"))
        at = NOW + timedelta(hours=hour)
        release.promote(releases, "kinds", version, YES, head, key.public_path, at, "tester@host")


def back(releases: Path, key: SigningKey, to: str | None = None, hours: float = 10) -> ledger.Entry:
    at = NOW + timedelta(hours=hours)
    return release.rollback(releases, "kinds", to, key.public_path, at, "it answers badly", "tester@host")


def serving(releases: Path) -> str | None:
    entry = ledger.champion(release.history(releases, "kinds"))
    return entry and entry.facts.version


def test_a_promotion_is_kept_with_its_evidence(releases: Path, key: SigningKey) -> None:
    made = release.promote(
        releases,
        "kinds",
        "v1",
        YES,
        0,
        key.public_path,
        NOW,
        "tester@host",
        {"score": float("nan"), "rows": 9},
    )
    (entry,) = release.history(releases, "kinds")
    assert entry == made
    facts = entry.facts
    assert (facts.kind, facts.version, facts.from_version) == ("promotion", "v1", None)
    assert (facts.at, facts.who, facts.reasons) == (NOW, "tester@host", YES.sentences(passed=True))
    assert facts.evidence == {"score": None, "rows": 9}
    bundle = release.champion_bundle(releases, "kinds", key.public_path)
    assert bundle is not None
    assert bundle.digest == facts.bundle_digest


def test_a_reference_to_another_bundle_is_refused(releases: Path, key: SigningKey) -> None:
    bundle = release.shelf.challenger(releases, "kinds", "v1", key.public_path).as_reference()
    wrong = bundle.model_copy(update={"version": "v2"})
    with pytest.raises(BundleError, match="not the bundle that was judged"):
        release.promote(releases, "kinds", wrong, YES, 0, key.public_path, NOW)
    assert serving(releases) is None


def test_a_decision_against_it_is_no_promotion(releases: Path, key: SigningKey) -> None:
    no = Decision(
        promote=False,
        reasons=(Reason(rule="baseline", passed=False, sentence="worse than the baseline"),),
    )
    with pytest.raises(LedgerError, match="worse than the baseline"):
        release.promote(releases, "kinds", "v1", no, 0, key.public_path, NOW)


@pytest.mark.parametrize("version", ["v4", "v0", "../v1", "", "v01"])
def test_an_unknown_version_is_named(releases: Path, key: SigningKey, version: str) -> None:
    with pytest.raises(UnknownNameError, match="bundle version of kinds"):
        release.promote(releases, "kinds", version, YES, 0, key.public_path, NOW)


def test_a_stale_promotion_loses(releases: Path, key: SigningKey) -> None:
    promoted(releases, key, "v1")
    with pytest.raises(StalePromotionError):
        release.promote(releases, "kinds", "v2", YES, 0, key.public_path, NOW)
    assert serving(releases) == "v1"


def test_promoting_the_champion_again_changes_nothing(releases: Path, key: SigningKey) -> None:
    """A run that was killed right after its promotion may be repeated."""
    promoted(releases, key, "v1", "v1")
    assert len(release.history(releases, "kinds")) == 1


def test_a_bundle_of_another_signer_is_not_promoted(releases: Path, tmp_path: Path) -> None:
    stranger = key_pair(tmp_path / "stranger")
    with pytest.raises(BundleError):
        release.promote(releases, "kinds", "v1", YES, 0, stranger.public_path, NOW)
    assert serving(releases) is None


def files_of(releases: Path, version: str) -> list[str]:
    return sorted(p.name for p in (releases / "kinds" / "bundles" / version).iterdir() if p.is_file())


def test_any_damaged_file_stops_promotion_and_rollback(releases: Path, key: SigningKey) -> None:
    promoted(releases, key, "v1", "v2")
    names = files_of(releases, "v1")
    assert len(names) > 5
    for name in names:
        path = releases / "kinds" / "bundles" / "v1" / name
        whole = path.read_bytes()
        damage(releases, "kinds", "v1", name)
        with pytest.raises(BundleError):
            back(releases, key)
        with pytest.raises(BundleError):
            release.promote(releases, "kinds", "v1", YES, 2, key.public_path, NOW)
        path.write_bytes(whole)
    assert serving(releases) == "v2"
    assert back(releases, key).facts.version == "v1"


def test_rollback_replays_the_golden_rows(
    releases: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that is whole but answers otherwise, as after an upgrade of a library, does not come back."""
    promoted(releases, key, "v1", "v2")
    real = OnnxModel.raw
    monkeypatch.setattr(OnnxModel, "raw", lambda model, matrix: real(model, matrix)[:, ::-1])
    with pytest.raises(BundleError, match="golden rows are answered differently"):
        back(releases, key)
    assert serving(releases) == "v2"
    monkeypatch.undo()
    assert back(releases, key).facts.version == "v1"


def test_promotion_replays_the_golden_rows(releases: Path, key: SigningKey) -> None:
    """A properly signed bundle whose model does not answer as it says is not promoted."""
    folder = releases / "kinds" / "bundles" / "v1"
    golden = json.loads((folder / "golden.json").read_text())
    answer = golden["answers"][0]
    answer["prediction"] = {"old": "young", "young": "old"}[answer["prediction"]]
    (folder / "golden.json").write_text(json.dumps(golden))
    manifest = json.loads((folder / "manifest.json").read_text())
    content = (folder / "golden.json").read_bytes()
    manifest["files"]["golden.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / SIGNATURE).write_bytes(sign(key, (folder / "manifest.json").read_bytes()))
    with pytest.raises(BundleError, match="1 of 32 golden rows are answered differently"):
        promoted(releases, key, "v1")
    assert serving(releases) is None


def test_rollback_goes_to_the_release_before(releases: Path, key: SigningKey) -> None:
    promoted(releases, key, "v1", "v2", "v3")
    first = back(releases, key, hours=10)
    assert (first.facts.version, first.facts.from_version, first.facts.barred) == ("v2", "v3", ("v3",))
    assert first.facts.reasons == ("it answers badly",)
    assert first.facts.evidence["golden_rows"] > 0
    assert back(releases, key, hours=11).facts.version == "v1"
    with pytest.raises(LedgerError, match="expected a release before v1"):
        back(releases, key, hours=12)
    history = release.history(releases, "kinds")
    served = [ledger.at(history, NOW + timedelta(hours=h)) for h in (0, 1, 2, 9.9, 10, 11)]
    assert [e and e.facts.version for e in served] == ["v1", "v2", "v3", "v3", "v2", "v1"]


def test_rollback_to_a_named_version(releases: Path, key: SigningKey) -> None:
    promoted(releases, key, "v1", "v2", "v3")
    assert back(releases, key, "v1").facts.version == "v1"
    with pytest.raises(LedgerError, match="found v1, the champion"):
        back(releases, key, "v1")
    with pytest.raises(UnknownNameError, match="released version of kinds"):
        back(releases, key, "v9")


def test_a_bundle_that_was_never_released_is_no_target(releases: Path, key: SigningKey) -> None:
    promoted(releases, key, "v1", "v2")
    with pytest.raises(UnknownNameError, match="released version of kinds"):
        back(releases, key, "v3")


def test_rollback_without_any_release(releases: Path, key: SigningKey) -> None:
    with pytest.raises(LedgerError, match="expected a release to roll back from, found none"):
        back(releases, key)


def test_a_target_that_is_gone_is_told(releases: Path, key: SigningKey) -> None:
    promoted(releases, key, "v1", "v2")
    shutil.rmtree(releases / "kinds" / "bundles" / "v1")
    with pytest.raises(BundleError, match="v1"):
        back(releases, key)
    assert serving(releases) == "v2"


def test_a_bundle_exchanged_for_another_valid_one_is_refused(
    releases: Path, key: SigningKey, tmp_path: Path
) -> None:
    """A signature alone does not make it the release: the ledger knows the digest."""
    promoted(releases, key, "v1", "v2")
    build(tmp_path / "other", key, "kinds", 77.0)
    shutil.rmtree(releases / "kinds" / "bundles" / "v1")
    shutil.copytree(tmp_path / "other" / "kinds" / "bundles" / "v1", releases / "kinds" / "bundles" / "v1")
    with pytest.raises(BundleError, match="not the bundle that ledger entry 1 released"):
        back(releases, key)


def test_what_was_rolled_back_from_is_barred_from_automatic_promotion(
    releases: Path, key: SigningKey
) -> None:
    promoted(releases, key, "v1", "v2")
    back(releases, key)
    with pytest.raises(LedgerError, match="expected a version that was not rolled back from, found v2"):
        release.promote(releases, "kinds", "v2", YES, 3, key.public_path, NOW)
    promoted(releases, key, "v3")
    entry = release.promote_by_hand(releases, "kinds", "v2", key.public_path, NOW, "it was the data")
    assert (entry.facts.version, entry.facts.reasons) == ("v2", ("it was the data",))
    with pytest.raises(LedgerError, match="found v2, the champion"):
        release.promote_by_hand(releases, "kinds", "v2", key.public_path, NOW, "again")


def test_the_same_model_trained_again_is_barred_too(releases: Path, key: SigningKey) -> None:
    promoted(releases, key, "v1", "v2")
    back(releases, key)
    again = build(releases, key, "kinds", 1.0)
    assert again.version == "v4"
    with pytest.raises(LedgerError, match="not rolled back from, found v4"):
        release.promote(releases, "kinds", again, YES, 3, key.public_path, NOW)


def test_status_tells_what_serves(releases: Path, key: SigningKey) -> None:
    (row,) = release.status(releases)
    assert (row.version, row.entries, row.waiting) == (None, 0, "v3")
    assert row.sentence == "nothing released; v3 is packaged, not released"
    promoted(releases, key, "v1", "v3")
    build(releases, key, "prices", 1.0)
    kinds, prices = release.status(releases)
    assert (kinds.system, kinds.version, kinds.who, kinds.entries, kinds.waiting) == (
        "kinds",
        "v3",
        "tester@host",
        2,
        None,
    )
    assert kinds.since == NOW + timedelta(hours=1)
    assert (prices.system, prices.version, prices.waiting) == ("prices", None, "v1")
    (releases / "kinds" / "ledger" / "000001.json").write_text("{}")
    kinds, _ = release.status(releases)
    assert "000001.json" in kinds.sentence
    assert release.status(releases / "none") == []


def test_status_imports_nothing_heavy(releases: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from perennial.live.release import status; "
        f"print(len(status(Path({str(releases)!r})))); "
        "print(*{'numpy', 'pydantic', 'pandas', 'cryptography', 'onnxruntime'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ended.stdout.split("\n")[:2] == ["1", ""]


PROMOTER = """
import sys
from datetime import datetime, UTC
from pathlib import Path
import onnxruntime
from perennial.errors import PerennialError
from perennial.evidence import Decision, Reason
from perennial.live import bundle, golden, predict, release
releases, version, public_key, head = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
decision = Decision(promote=True, reasons=(Reason(rule="race", passed=True, sentence="race"),))
print("ready", flush=True)
sys.stdin.readline()
try:
    release.promote(releases, "kinds", version, decision, head, public_key, datetime.now(UTC))
except PerennialError as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def test_two_promotions_at_once_from_two_processes(releases: Path, key: SigningKey) -> None:
    for head in range(5):
        rivals = [version for version in ("v1", "v2", "v3") if version != serving(releases)][:2]
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", PROMOTER, str(releases), version, str(key.public_path), str(head)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for version in rivals
        ]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        ended = [(racer.communicate(timeout=60)[1], racer.returncode) for racer in racers]
        assert sorted(code for _, code in ended) == [0, 1], ended
        assert next(err for err, code in ended if code).startswith("StalePromotionError expected the ledger")
        assert len(release.history(releases, "kinds")) == head + 1


def test_whoami_names_user_and_host() -> None:
    user, host = release.whoami().split("@")
    assert user
    assert host == os.uname().nodename


NO = Decision(
    promote=False,
    reasons=(
        Reason(rule="champion", passed=False, sentence="worse than the champion"),
        Reason(rule="size", passed=True, sentence="small enough"),
    ),
)


def refused(releases: Path, key: SigningKey, version: str, hours: float = 20) -> ledger.Entry:
    bundle = release.shelf.challenger(releases, "kinds", version, key.public_path)
    return release.keep(
        releases, bundle, NO, NOW + timedelta(hours=hours), "tester@host", {"nan": float("nan")}
    )


def test_a_refusal_is_kept_with_its_reasons_and_changes_nothing(releases: Path, key: SigningKey) -> None:
    assert refused(releases, key, "v3", 0).facts.from_version is None
    assert serving(releases) is None
    promoted(releases, key, "v1", "v2")
    entry = refused(releases, key, "v3")
    assert (entry.number, entry.facts.kind) == (4, "kept")
    assert (entry.facts.version, entry.facts.from_version) == ("v3", "v2")
    assert entry.facts.reasons == ("worse than the champion",)
    assert entry.facts.evidence == {"nan": None, "failed": ["champion"]}
    assert serving(releases) == "v2"
    with pytest.raises(UnknownNameError, match="released version of kinds"):
        back(releases, key, "v3")
    assert back(releases, key).facts.version == "v1"
    refused(releases, key, "v2")
    with pytest.raises(LedgerError, match="not rolled back from, found v2"):
        release.promote(releases, "kinds", "v2", YES, 6, key.public_path, NOW)


def test_a_decision_for_it_is_no_refusal(releases: Path, key: SigningKey) -> None:
    bundle = release.shelf.challenger(releases, "kinds", "v1", key.public_path)
    with pytest.raises(LedgerError, match="expected a decision against v1, found one for it"):
        release.keep(releases, bundle, YES, NOW)
    assert release.history(releases, "kinds") == ()


def test_a_refusal_meanwhile_stops_no_promotion(releases: Path, key: SigningKey) -> None:
    refused(releases, key, "v3")
    release.promote(releases, "kinds", "v1", YES, 0, key.public_path, NOW)
    refused(releases, key, "v3")
    again = release.promote(releases, "kinds", "v1", YES, 2, key.public_path, NOW)
    assert again.number == 2 and len(release.history(releases, "kinds")) == 3
    with pytest.raises(StalePromotionError):
        release.promote(releases, "kinds", "v2", YES, 1, key.public_path, NOW)


def test_status_tells_the_last_refusal_of_what_waits(releases: Path, key: SigningKey) -> None:
    refused(releases, key, "v3", 0)
    (row,) = release.status(releases)
    told = f"v3 is packaged, refused at {NOW:%Y-%m-%d %H:%M} UTC (champion)"
    assert row.sentence == f"nothing released; {told}"
    promoted(releases, key, "v2")
    refused(releases, key, "v1")
    (row,) = release.status(releases)
    assert (row.version, row.entries, row.waiting) == ("v2", 2, "v3")
    assert row.sentence.endswith(f"ledger entry 2; {told}")


def test_the_version_of_a_refused_bundle_that_is_gone_is_never_given_again(
    releases: Path, key: SigningKey
) -> None:
    refused(releases, key, "v3")
    shutil.rmtree(releases / "kinds" / "bundles" / "v3")
    assert release.shelf.newest_released(releases, "kinds") == 3
