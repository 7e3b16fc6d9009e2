"""The page that tries a prediction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.form import Row, fields, starts, title
from dashboard.loaded import champion, predictor
from dashboard.service import Away, Reply, Service
from dashboard.setting import Setting
from dashboard.trouble import told
from dashboard.words import number, plain, sentence, stretch, with_unit
from perennial.errors import PerennialError
from perennial.live.answer import AnswerRule
from perennial.live.bundle import Bundle
from perennial.live.predict import json_rows


@dataclass(frozen=True)
class Tried:
    """An answer with what is to be said of it.

    Attributes:
        answer: the row of the answer: `prediction` and what belongs to it.
        version: the release that answered.
        prediction_id: as the journal has it; "" where no service answered.
        warnings: what the person should know about where the answer comes from.
        request: what was sent.
    """

    answer: Row
    version: str
    prediction_id: str
    warnings: tuple[str, ...]
    request: dict[str, Any]


def show(setting: Setting) -> None:
    """Draws the page."""
    st.title("Try a prediction")
    with told():
        bundle = champion(setting)
        service = Service(setting.service, setting.token("predict"))
        answering = show_standing(setting, bundle, service)
        offered = starts(bundle)
        name = st.selectbox("Start from", list(offered), help="Rows that the model has not seen in training.")
        with st.form("row", border=False):
            row = fields(bundle, offered[name], form_key(bundle, name))
            asked = st.form_submit_button("Predict", type="primary")
        if asked:
            check_system(answering, bundle, setting.service)
            show_answer(attempt(setting, bundle, service, row), bundle)


def form_key(bundle: Bundle, start: str) -> str:
    """What tells forms apart: a release of the same fields leaves what stands in them, and the page says so."""
    names = ",".join(f"{c.name}:{c.kind}" for c in bundle.contract.features)
    key = f"{bundle.manifest.system}-{start}-{names}"
    if st.session_state.setdefault(key, bundle.digest) != bundle.digest:
        st.info(f"{bundle.manifest.version} answers by now; the fields hold what stood in them before.")
    return key


def show_standing(setting: Setting, bundle: Bundle, service: Service) -> str:
    """Says which release answers, and whether the service runs; returns whose service it is, "" where none runs."""
    manifest = bundle.manifest
    st.markdown(
        f"**{plain(manifest.system)} {manifest.version}** ({plain(manifest.candidate)}) predicts "
        f"**{plain(title(bundle.contract.target))}**: {plain(bundle.contract.target.description)}."
    )
    try:
        reply = service.ready()
    except Away as away:
        st.info(
            f"No service answers at `{setting.service}` ({plain(away.found)}). "
            f"Start it with `{setting.serve_command}`."
        )
        return ""
    system = str(reply.body.get("model", manifest.system))
    if reply.problem:
        st.warning(plain(f"The service at {setting.service} is not ready: {reply.problem}"))
    elif system != manifest.system:
        st.warning(
            plain(f"The service at {setting.service} answers for {system}, and not for {manifest.system}.")
        )
    return system


def check_system(answering: str, bundle: Bundle, address: str) -> None:
    """Raises PerennialError for the service of another system, whose journal a row of this one is nothing for."""
    if answering not in ("", bundle.manifest.system):
        raise PerennialError(
            f"expected the service of {bundle.manifest.system} at {address}, found that of {answering}; "
            "name the right one with --service"
        )


def attempt(setting: Setting, bundle: Bundle, service: Service, row: Row) -> Tried:
    """The service's answer to a row or, where none runs, this process's own; raises PerennialError."""
    request = {"rows": [row]}
    try:
        reply = service.post("/predict", request)
    except Away as away:
        return _alone(setting, bundle, request, away.found)
    if reply.problem:
        raise PerennialError(_refusal(reply))
    check_system(str(reply.body.get("model")), bundle, setting.service)
    answer = reply.body["predictions"][0]
    lost = ["The journal could not take this prediction."] if _is_lost(reply) else []
    return Tried(answer, reply.body["version"], answer.get("prediction_id", ""), tuple(lost), request)


def _alone(setting: Setting, bundle: Bundle, request: dict[str, Any], problem: str) -> Tried:
    answered = predictor(setting, bundle).answer_rows(request["rows"])
    warning = (
        f"No service answered ({problem}), so this page made the prediction itself, from the bundle of "
        f"{bundle.manifest.version}; no journal has it."
    )
    return Tried(json_rows(answered)[0], bundle.manifest.version, "", (warning,), request)


def _is_lost(reply: Reply) -> bool:
    return reply.headers.get("x-journal", "") == "not-written"


def _refusal(reply: Reply) -> str:
    """Why a row was refused, in the form's words."""
    violations = reply.body.get("violations") or []
    listed = "; ".join(f"{v['field']}: {v['problem']}" for v in violations if v.get("field"))
    return f"The service refused this row: {listed}" if listed else reply.problem


def show_answer(tried: Tried, bundle: Bundle) -> None:
    """Draws the prediction with its interval or its probabilities, and all that belongs to it."""
    answer, rule, label = tried.answer, bundle.rule, title(bundle.contract.target)
    for warning in tried.warnings:
        st.warning(plain(warning))
    flags = [flag for flag in str(answer.get("flag", "")).split("; ") if flag]
    with st.container(border=True):
        if answer["prediction"] is None:
            st.error("The model has no answer to this row.")
        elif "probabilities" in answer:
            st.metric(plain(label), answer["prediction"])
            _show_probabilities(answer["probabilities"])
        else:
            st.metric(plain(label), with_unit(answer["prediction"], rule.unit))
            for interval in intervals(answer, rule):
                st.markdown(plain(interval))
        for flag in flags:
            st.warning(plain(sentence(flag)))
        named = f", prediction {tried.prediction_id}" if tried.prediction_id else ""
        st.caption(plain(f"{tried.version}{named}"))
    st.subheader("The request")
    st.code(json.dumps(tried.request, indent=1, ensure_ascii=False), language="json", height=240)
    st.caption("POST /predict, Content-Type: application/json")


def intervals(answer: Row, rule: AnswerRule) -> list[str]:
    """A sentence per level of the interval; the levels are the bundle's own."""
    if rule.interval is None or answer.get("prediction_low") is None:
        return []
    from perennial.live.predict import bound_names

    names = bound_names(rule)
    pairs = zip(rule.interval.levels, names[::2], names[1::2], strict=True)
    return [
        f"{number(100 * level)} % interval: {stretch(answer[low], answer[high], rule.unit)}"
        for level, low, high in pairs
        if answer.get(low) is not None and answer.get(high) is not None
    ]


def _show_probabilities(shares: dict[str, float | None]) -> None:
    for name, share in sorted(shares.items(), key=lambda pair: -(pair[1] or 0.0)):
        if share is not None:
            st.progress(min(max(share, 0.0), 1.0), plain(f"{name}: {100 * share:.1f} %"))
