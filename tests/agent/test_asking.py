"""Factors for a request in words: what it binds, what the answer holds, and a model that does not obey."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from agent.asking.answer_language import LANGUAGES, language_of
from agent.asking.answer_words import answer_words
from agent.asking.model_access import ModelChoice
from agent.asking.proposing import propose_factors
from agent.mining.constraints import Constraints
from agent.mining.factor_types import TYPES, type_fault
from agent.mining.request import FactorRequest, Understood, understand
from agent.mining.request_words import read_words
from agent.mock import transport
from agent.study.workspace import find_workspace
from factors.engine import evaluate
from factors.parse import parse
from factors.table import STANDARD_FIELDS
from factors.tree import Expression
from market.errors import InputError
from tests.agent.commands import as_json, refused, run
from tests.agent.test_llm_client import Server
from tests.helpers import random_panel

HOUR = np.timedelta64(1, "h")
# As it is before a test lets others answer.
_CONNECT = transport.connect_mock
FIELDS = ("open", "high", "low", "close", "volume")


def read(text: str, *extra: str) -> Expression:
    found = parse(text, fields=[*STANDARD_FIELDS, *extra])
    assert isinstance(found, Expression), found
    return found


def asked(words: str = "", *, bar: np.timedelta64 = HOUR, **options: Any) -> Understood:
    return understand(FactorRequest(words=words, **options), FIELDS, bar)


def broken(constraints: Constraints, text: str) -> str:
    fault = constraints.fault(read(text))
    return "" if fault is None else fault.code


@pytest.mark.parametrize(
    ("words", "kind", "spans", "uses", "avoids"),
    [
        ("mean reversion factor for BTC, price and volume, 5 days", "mean_reversion", ("5d",), ("volume",), ()),
        (
            "Сгенерируй альфа-фактор возврата к среднему для BTC, используя данные цены и объёма с периодом 5 дней.",
            "mean_reversion",
            ("5d",),
            ("volume",),
            (),
        ),
        ("用成交量确认的5天均值回归因子", "mean_reversion", ("5d",), ("volume",), ()),
        ("出来高なしのモメンタム、20日", "momentum", ("20d",), (), ("volume",)),
        ("거래량으로 확인된 5일 평균 회귀", "mean_reversion", ("5d",), ("volume",), ()),
        ("Ein Momentum-Faktor ohne Volumen über 20 Tage, Haltedauer 3 Tage", "momentum", ("20d",), (), ("volume",)),
        ("reversión a la media de 10 días sin volumen", "mean_reversion", ("10d",), (), ("volume",)),
        ("facteur de momentum sur 20 jours, confirmé par le volume", "momentum", ("20d",), ("volume",), ()),
        ("fator de reversão à média de 12 horas com volume", "mean_reversion", ("12h",), ("volume",), ()),
        ("momentum scaled by volatility, 24h window, hold 5 days", "momentum", ("24h",), (), ()),
        ("fade the trend after a shock", "", (), (), ()),
    ],
)
def test_words_of_ten_languages_bind(
    words: str, kind: str, spans: tuple[str, ...], uses: tuple[str, ...], avoids: tuple[str, ...]
) -> None:
    found = read_words(words)
    assert (next(iter(found.types), ""), found.spans, found.uses, found.avoids) == (kind, spans, uses, avoids)


def test_each_bound_is_checked() -> None:
    bound = asked(kind="mean reversion", lookback="24h", context="confirm by volume", complexity=20).constraints
    assert (bound.kind, bound.longest, bound.uses, bound.size) == ("mean_reversion", 24, ("volume",), 20)
    assert broken(bound, "-ts_zscore(close, 20) * volume / ts_mean(volume, 20)") == ""
    assert broken(bound, "-ts_zscore(close, 20) * volume / ts_mean(volume, 48)") == "lookback"
    assert broken(bound, "-ts_zscore(close, 20)") == "uses"
    assert broken(bound, "ts_zscore(close, 20) * volume / ts_mean(volume, 20)") == "type"
    long = "-ts_zscore(close, 20) * volume / ts_mean(volume, 20) + ts_mean(returns, 5) - ts_mean(returns, 8)"
    assert broken(bound, f"{long} - ts_mean(returns, 7) - ts_mean(returns, 6)") == "complexity"
    only = asked(kind="momentum", fields=("close",)).constraints
    assert broken(only, "ts_mean(returns, 5)") == ""
    assert broken(only, "ts_returns(vwap, 5)") == "field"
    without = asked("momentum without volume").constraints
    assert broken(without, "ts_returns(close, 5) * adv20") == "field"
    assert broken(without, "ts_returns(close, 5)") == ""


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("momentum", "ts_returns(close, 5) * sign(volume - ts_mean(volume, 20))", "-ts_zscore(close, 20)"),
        ("mean_reversion", "-rsi(close, 14)", "ts_corr(close, volume, 20)"),
        ("mean_reversion", "ts_mean(close, 10) / close", "ts_rank(close, 10)"),
        ("volatility", "-cs_rank(ts_std(returns, 24))", "ts_returns(close, 5)"),
        ("volume", "cs_rank(adv20)", "ts_returns(close, 5)"),
        ("candle", "(close - low) / (high - low)", "ts_std(returns, 5)"),
        ("cross_asset", "-ts_mean(cs_demean(returns), 5)", "cs_rank(ts_returns(close, 5))"),
        ("funding", "-ts_mean(funding, 8)", "ts_mean(returns, 8)"),
    ],
)
def test_a_type_is_what_a_factor_does_and_not_what_it_is_called(kind: str, right: str, wrong: str) -> None:
    assert type_fault(kind, read(right, "funding")) == ""
    assert type_fault(kind, read(wrong)) != ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "says nothing"),
        ({"kind": "momentun"}, "did you mean momentum"),
        ({"kind": "momentum", "words": "a mean reversion factor"}, "contradicts"),
        ({"words": "momentum and mean reversion of BTC"}, "contradict each other"),
        ({"kind": "momentum", "lookback": "5d", "context": "over 20 days"}, "contradicts the words"),
        ({"kind": "momentum", "lookback": "soon"}, "no look-back"),
        ({"kind": "momentum", "lookback": "0"}, "no bar at all"),
        ({"kind": "momentum", "lookback": "5m"}, "shorter than a bar"),
        ({"kind": "momentum", "fields": ("close,open_intrest",)}, "no field 'open_intrest'"),
        ({"kind": "funding"}, "no field funding"),
        ({"kind": "momentum", "fields": ("close",), "context": "confirm by volume"}, "contradicts itself"),
        ({"kind": "momentum", "fields": ("volume",)}, "goes by prices"),
        ({"kind": "volume", "context": "without volume"}, "contradicts itself"),
        ({"kind": "momentum", "context": "x" * 3000}, "at most"),
    ],
)
def test_what_nothing_could_keep_to_is_refused_with_a_way_out(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as found:
        asked(**options)
    assert says in found.value.message + found.value.hint
    assert found.value.hint


def test_bounds_survive_being_stored() -> None:
    bound = asked("5 day momentum with volume", fields=("close", "volume"), complexity=9).constraints
    assert Constraints.from_dict(json.loads(json.dumps(bound.to_dict()))) == bound
    assert not Constraints.from_dict(None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("mean reversion over 5 days for BTC", "en"),
        ("Возврат к среднему для BTC", "ru"),
        ("BTC 的均值回归因子", "zh"),
        ("BTCの平均回帰", "ja"),
        ("ein Faktor für die Rückkehr zum Mittel ohne Volumen", "de"),
        ("un facteur de momentum sur 20 jours avec le volume", "fr"),
        ("un factor de reversión para acciones con volumen", "es"),
    ],
)
def test_the_language_of_a_request_is_seen(text: str, code: str) -> None:
    assert language_of(text) == code


def standing_in(monkeypatch: pytest.MonkeyPatch, server: Callable[[httpx2.Request], httpx2.Response]) -> None:
    """Let the provider `mock` answer as this server does."""

    def connect(seed: int, api: str) -> transport.MockConnection:
        return _CONNECT(seed, api, lambda request, _seed: server(request))

    monkeypatch.setattr(transport, "connect_mock", connect)


def proposal(expression: str, **more: object) -> str:
    said = {"rationale": "r", "mechanism": "m", "risk_factors": ["f"], "name": "n", "expression": expression}
    return json.dumps({**said, "expected_ic": 0.02, "expected_turnover": 0.1, "expected_holding": 5, **more})


def test_an_answer_has_code_that_runs_and_equals_the_engine(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "возврат к среднему за 5 дней с подтверждением объёмом"
    found = as_json(capsys, "propose", words, "--llm", "mock", "--bar", "1h", "--count", "3")
    assert (found["language"], found["simulated"], found["data"]) == ("ru", True, "")
    assert found["request"]["longest"] == 120
    panel = random_panel(300, 6)
    for one in found["factors"]:
        assert {"name", "reading", "rationale", "mechanism", "risk_factors", "expected"} <= set(one)
        expression = read(one["canonical"])
        assert Constraints.from_dict(found["request"]).fault(expression) is None
        assert any("а" <= c <= "я" for c in one["rationale"])
        space: dict[str, Any] = {}
        exec(compile(one["code"], "factor", "exec"), space)
        frames = {name: _frame(values) for name, values in panel.fields.items()}
        np.testing.assert_allclose(
            space["factor"](frames).to_numpy(), evaluate(expression, panel).values, rtol=1e-9, atol=1e-9
        )
    assert len({one["canonical"] for one in found["factors"]}) == len(found["factors"]) >= 2


# By language: a request, and what the page must say of it.
WHOLE = {
    "es": ("un factor que compara activos con el volumen, tipo cross_asset, como máximo 10 días",
           ("Entre activos", "Lo que espera el modelo", "fundamento: ", "riesgo: ", "tenencia, barras", "simulado")),
    "de": ("ein Faktor für die Rückkehr zum Mittel mit Volumen, höchstens 20 Tage zurück",
           ("Rückkehr zum Mittel", "Was das Modell erwartet", "Begründung: ", "Risiko: ", "Haltedauer, Bars",
            "simuliert")),
    "zh": ("一个基于成交量的短期反转因子，最多回看10天",
           ("均值回归", "模型的预期", "理由: ", "风险: ", "持有K线数", "模拟")),
}  # fmt: skip


@pytest.mark.parametrize("code", WHOLE)
def test_an_answer_is_in_one_language_from_its_name_to_its_last_line(
    code: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, said = WHOLE[code]
    kind = ("--type", "cross_asset") if code == "es" else ()
    status, out, _ = run(capsys, "propose", words, *kind, "--llm", "mock", "--seed", "1")
    assert status == 0
    page = out.partition('"""Computes')[0] + out.rpartition("columns)")[2]
    assert all(one in page for one in said), page
    english = ("What the model", "expected", "rationale", "mechanism: ", "risk: ", "look-back", "holding", "turnover",
               "simulated", "cross asset", "Mean reversion")  # fmt: skip
    assert not [one for one in english if one in page], page


def test_headings_exist_in_every_language_that_is_answered_in() -> None:
    english = answer_words("en")
    for code in LANGUAGES:
        found = answer_words(code)
        assert "{bars}" in found.lookback
        assert "{model}" in found.simulated
        assert code == "en" or found.expects != english.expects, code
    assert answer_words("xx") == english


def _frame(values: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(values)


def test_what_breaks_the_request_goes_back_once_and_is_then_refused(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mended = Server(proposal("ts_zscore(close, 20)"), proposal("-ts_zscore(close, 20)"))
    standing_in(monkeypatch, mended)
    found = as_json(capsys, "propose", "--type", "mean_reversion", "--lookback", "20", "--llm", "mock")
    assert found["factors"][0]["canonical"] == "-ts_zscore(close, 20)"
    again = mended.asked[1]["messages"][-1]["content"]
    assert "it is momentum, not mean reversion" in again
    stubborn = Server(proposal("ts_mean(close, 500) / close"))
    standing_in(monkeypatch, stubborn)
    err = refused(capsys, "propose", "--type", "mean_reversion", "--lookback", "20", "--llm", "mock", "--seed", "9")
    assert len(stubborn.asked) == 2
    assert "looks back 499 bars, the request allows 20" in err
    assert "ts_mean(close, 500) / close" in err


def test_an_expectation_that_cannot_be_is_left_out_and_the_factor_kept(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    standing_in(monkeypatch, Server(proposal("-ts_zscore(close, 20)", expected_ic=5)))
    (one,) = as_json(capsys, "propose", "--type", "mean_reversion", "--llm", "mock")["factors"]
    assert one["expected"] == {"ic": None, "turnover": 0.1, "holding": 5}
    assert any("expected ic of 5 cannot be" in note for note in one["notes"])


def test_the_same_request_is_paid_for_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(proposal("-ts_zscore(close, 20)"))
    standing_in(monkeypatch, server)
    workspace = find_workspace(None, home)
    for seed in (1, 1, 2):
        answer = propose_factors(workspace, FactorRequest(kind="mean_reversion"), ModelChoice("mock", seed=seed))
        assert [one.canonical for one in answer.factors] == ["-ts_zscore(close, 20)"]
    assert len(server.asked) == 2


def test_with_data_each_factor_is_a_trial_whose_expectation_is_kept(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ["propose", "--type", "momentum", "--lookback", "2d", "--data", "toy", "--llm", "mock", "--count", "2"]
    found = as_json(capsys, *request)
    came = [one["came"] for one in found["factors"]]
    assert [one["trials"] for one in came] == list(range(1, len(came) + 1))
    judged = as_json(capsys, "kb", "judge")["expectations"]
    assert judged["scored"] == judged["turnover"]["count"] == len(came)
    assert judged["ic"]["expected"] == pytest.approx(np.median([one["expected"]["ic"] for one in found["factors"]]))
    again = as_json(capsys, *request)
    assert [one["came"]["trials"] for one in again["factors"]] == [one["trials"] for one in came]
    assert "no further trial" in again["factors"][0]["came"]["note"]
    code, out, _ = run(capsys, "propose", "--type", "momentum", "--data", "toy", "--llm", "mock", "--seed", "3")
    assert code == 0
    assert "came, on train" in out
    assert "simulated" in out


def test_bad_requests_end_with_a_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "says nothing" in refused(capsys, "propose", "--llm", "mock")
    assert "--fields says nothing" in refused(capsys, "propose", "--llm", "mock", "--fields", " ")
    assert "no field 'fundin'" in refused(
        capsys, "propose", "--llm", "mock", "--data", "toy", "--fields", "fundin,close"
    )
    assert "shorter than a bar" in refused(
        capsys, "propose", "momentum", "--llm", "mock", "--data", "toy", "--lookback", "5m"
    )
    assert "which model" in refused(capsys, "propose", "momentum")
    assert "leave one of them out" in refused(
        capsys, "propose", "momentum", "--llm", "mock", "--data", "toy", "--bar", "1h"
    )


def test_mine_keeps_to_a_request_in_every_round(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--type", "mean_reversion", "--lookback", "2d", "--fields", "close,volume", "--context", "with volume"]
    summary = as_json(
        capsys, "mine", "--data", "toy", "--llm", "mock", "--rounds", "2", "--candidates", "4", "--no-judge", *words
    )
    listed = as_json(capsys, "kb", "list", "--run", summary["run"], "--all")
    bound = Constraints.from_dict(listed["runs"][0]["config"]["request"])
    assert (bound.kind, bound.longest, bound.fields, bound.uses) == (
        "mean_reversion",
        48,
        ("close", "volume"),
        ("volume",),
    )
    scored = [one["canonical"] for one in listed["attempts"] if one["evaluation"]]
    assert scored
    assert [text for text in scored if bound.fault(read(text)) is not None] == []
    err = refused(capsys, "mine", "--resume", summary["run"], "--type", "momentum")
    assert "--type" in err


def test_mine_refuses_with_the_reason_what_breaks_the_request_twice(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = Server(json.dumps({"name": "n", "expression": "ts_returns(close, 24)", "rationale": "r", "parents": []}))
    standing_in(monkeypatch, stubborn)
    summary = as_json(
        capsys, "mine", "--data", "toy", "--llm", "mock", "--rounds", "1", "--candidates", "1", "--no-judge",
        "--type", "mean_reversion",
    )  # fmt: skip
    assert len(stubborn.asked) == 2
    (attempt,) = as_json(capsys, "kb", "list", "--run", summary["run"], "--all")["attempts"]
    assert (attempt["stage"], attempt["code"]) == ("request", "type")
    assert "it is momentum, not mean reversion" in attempt["message"]


def test_every_type_can_be_written_by_the_simulated_model() -> None:
    from agent.mock.proposer import compose_within

    fields = (*STANDARD_FIELDS, "funding", "open_interest", "sentiment")
    for kind in TYPES:
        bound = understand(FactorRequest(kind=kind, lookback="30"), fields, HOUR).constraints
        for seed in range(4):
            _, text = compose_within(bound.facts(fields), np.random.default_rng(seed))
            assert bound.fault(read(text, "funding", "open_interest", "sentiment")) is None, (kind, text)
