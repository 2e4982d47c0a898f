"""The benchmark of false alarms: what it counts, the bounds it can miss, and code that shows an alarm again."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies as st

import gradcheck
from gradcheck import strategies as gst

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "false_alarms.py"

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    yield importlib.import_module("false_alarms")
    sys.modules.pop("false_alarms", None)


@pytest.fixture
def table(alarms: ModuleType) -> ModuleType:
    return sys.modules[alarms.Tally.__module__]


@pytest.fixture
def right(alarms: ModuleType) -> ModuleType:
    return sys.modules[alarms.subjects.__module__]


Subject = Callable[..., Any]


@pytest.fixture
def subject(alarms: ModuleType, right: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """Put one rule in the place of all others, and examine it in this process."""

    def only(fun: Any, vjp: Any, cases: Any, dtype: str = "float64") -> Any:
        made = right.Subject("one", dtype, lambda: gradcheck.from_vjp(fun, vjp, name="one"), lambda: cases)
        monkeypatch.setattr(alarms, "subjects", lambda: {made.label: made})
        monkeypatch.setattr(
            alarms,
            "examine_all",
            lambda labels, each, seed, _jobs, every: (
                alarms.examine_part(label, 0, each, seed, every) for label in labels
            ),
        )
        return made

    return only


SQUARE: tuple[Any, ...] = (np.square, lambda x, cotangent: 2 * x * cotangent)
LIKE = gst.like(np.ones(3))


def test_right_gradients_of_one_name_from_end_to_end(python: Python, tmp_path: Path) -> None:
    ran = python(str(SCRIPT), "--only", "textbook", "--examples", "40", "--json", "out.json", cwd=tmp_path)
    assert ran.returncode == ("MISSED" in ran.stdout), ran.stdout + ran.stderr
    assert "flagged:" not in ran.stdout
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    dtypes = ("float64", "float32", "float16", "bfloat16")
    assert list(content["rules"]) == [f"textbook {dtype}" for dtype in dtypes]
    assert {rule["examples"] for rule in content["rules"].values()} == {10}
    assert content["conditions"]["examples"] == "10 of each rule"
    machine, _, head, *_ = ran.stdout.splitlines()
    assert machine == ", ".join(f"{name} {value}" for name, value in content["conditions"].items())
    assert head.split()[:4] == ["dtype", "rules", "examples", "flagged"]
    for rows in content["regimes"].values():
        for row in rows.values():
            assert sum(row["histogram"]) == row["examples"]
            assert row["worst"] < 1


def test_an_alarm_is_printed_with_code_that_raises_it_again(
    alarms: ModuleType, subject: Subject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject(np.square, lambda x, cotangent: 3 * x * cotangent, LIKE)
    assert alarms.main(["--examples", "6", "--json", str(tmp_path / "out.json")]) == 1
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    flagged = content["rules"]["one float64"]["flagged"]
    assert 0 < flagged == len(content["alarms"])
    printed = capsys.readouterr().out
    assert f"MISSED  one float64: {flagged} flagged" in printed
    for alarm in content["alarms"]:
        assert alarm["code"] in printed
        names = {"gradcheck": gradcheck, "np": np, "subjects": alarms.subjects}
        with pytest.raises(gradcheck.GradientMismatch):
            exec(alarm["code"], names)


def test_code_too_long_to_read_is_left_to_the_json(
    alarms: ModuleType, subject: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    subject(np.square, lambda x, cotangent: 3 * x * cotangent, gst.like(np.ones(300)))
    assert alarms.main(["--examples", "4", "--seed", "7"]) == 1
    again = "python benchmarks/false_alarms.py --only 'one float64' --examples 4 --seed 7 --json PATH"
    assert again in capsys.readouterr().out


@pytest.mark.parametrize(("factor", "flagged"), [(2, False), (3, True)])
def test_a_long_run_judges_all_and_measures_some(
    alarms: ModuleType, subject: Subject, factor: int, flagged: bool
) -> None:
    made = subject(np.square, lambda x, cotangent: factor * x * cotangent, st.just((np.ones(3),)))
    seen = alarms.examine_part(made.label, 0, 8, 0, every=4).together
    assert (seen.flagged > seen.examples / 2) is flagged  # a cotangent of zeros hides it
    assert flagged or not seen.flagged
    assert sum(seen.histogram) == -(-seen.examples // 4)
    assert seen.entries == 3 * seen.examples


def test_a_point_that_cannot_be_decided_is_counted(alarms: ModuleType, subject: Subject) -> None:
    part = alarms.examine_part(subject(lambda x: x + np.inf, SQUARE[1], LIKE).label, 0, 3, 0)
    assert part.together.undecided == part.together.examples > 0
    assert (part.together.flagged, part.together.vacuous) == (0, 0)


def test_points_beyond_a_narrow_dtype_are_outside_of_the_domain(alarms: ModuleType, subject: Subject) -> None:
    def cube(x: Any) -> Any:
        if x[0] < 0:
            raise ValueError("no negative numbers")
        return x**3

    def three_squares(x: Any, cotangent: Any) -> Any:
        return 3 * x**2 * cotangent

    points = [(np.full(3, x, "float16"),) for x in (1, 2, 3, -1, 1000)]  # of the last, the cube overflows
    made = subject(cube, three_squares, st.sampled_from(points), "float16")
    part = alarms.examine_part(made.label, 0, 20, 0)
    assert part.outside
    assert part.together.examples
    assert part.together.flagged == 0
    wide = alarms.examine_part(subject(cube, three_squares, st.just(points[3])).label, 0, 20, 0)
    assert wide.together.flagged == wide.together.examples > 0
    assert "no negative numbers" in wide.alarms[0].why


def test_a_vacuous_point_is_undecided_only_where_no_other_resolves_its_array(table: ModuleType) -> None:
    part = table.Part("one", "float64", open=Counter({("w",): 2, ("w", "b"): 3}), resolved={"w"})
    assert part.never_resolved == 3
    part.add(table.Part("one", "float64", resolved={"b"}))
    assert part.never_resolved == 0


def test_errors_are_sorted_into_bins(table: ModuleType) -> None:
    tally = table.Tally()
    for ratio in (0.0, 1e-6, 2e-6, 0.3, 1.0, 1.1, np.inf):
        tally.see(table.Seen("passed", ratio))
    assert tally.histogram == [2, 1, 0, 0, 0, 0, 2, 2]
    assert tally.worst == np.inf


def part(table: ModuleType, counts: dict[str, int], regime: str = "ties") -> Any:
    tally = table.Tally(**counts)
    return table.Part("one", "float64", tally, {regime: tally}, {"ties"})


@pytest.mark.parametrize(
    ("counts", "missed"),
    [
        ({"examples": 1000}, []),
        ({"examples": 1000, "undecided": 1}, []),
        ({"examples": 1000, "vacuous": 999}, []),
        ({"examples": 1000, "flagged": 1}, ["one: 1 flagged"]),
        ({"examples": 1000, "undecided": 2}, ["all rules: 2 of 1000 undecided, more than 0.1%"]),
        ({"examples": 0}, ["one: no example"]),
        (
            {"examples": 1000, "undecided": 11},
            [
                "all rules: 11 of 1000 undecided, more than 0.1%",
                "one: 11 of 1000 undecided, more than 1.0%",
                "regime 'ties': 11 of 1000 undecided, more than 1.0%",
            ],
        ),
    ],
)
def test_bounds(table: ModuleType, counts: dict[str, int], missed: list[str]) -> None:
    assert table.misses([part(table, counts)]) == missed


def test_a_regime_that_was_never_visited_is_missed(table: ModuleType) -> None:
    assert table.misses([part(table, {"examples": 9}, "tiny")]) == ["regime 'ties' is offered and was never visited"]


def test_drift_shows_what_has_grown_most_first(table: ModuleType) -> None:
    tiny = {"float64": {"worst": 0.4}, "float32": {"worst": 1.0}}
    old = {"regimes": {"ties": {"float64": {"worst": 0.1}}, "tiny": tiny}}
    now = [table.Part("one", "float64", regimes={"ties": table.Tally(worst=0.3), "tiny": table.Tally(worst=0.2)})]
    _, first, second, apart = table.drift(old, now).splitlines()
    assert first.split() == ["ties,", "float64", "0.1", "0.3", "3.00"]
    assert second.split() == ["tiny,", "float64", "0.4", "0.2", "0.50"]
    assert apart == "In one of the runs only: tiny, float32."


def test_a_run_is_compared_with_one_before(
    alarms: ModuleType, subject: Subject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject(np.tanh, lambda x, cotangent: (1 - np.tanh(x) ** 2) * cotangent, LIKE)
    path = str(tmp_path / "out.json")
    alarms.main(["--examples", "20", "--json", path])
    alarms.main(["--examples", "20", "--compare", path, "--markdown"])
    printed = capsys.readouterr().out
    assert "regimes not counted, float64" in printed
    *_, drift = next(line.split() for line in printed.splitlines() if line.startswith("regimes not counted, "))
    assert drift == "1.00"  # the draws are the same
    assert "| float64 | 1 | 20 |" in printed


def test_narrow_dtypes_are_drawn_in_their_own_dtype(right: ModuleType) -> None:
    import hypothesis

    for dtype in ("float32", "float16", "bfloat16"):
        chosen = right.subjects()[f"textbook {dtype}"]
        case = hypothesis.find(chosen.cases(), lambda case: len(case[1]) > 1)
        assert case[0].dtype == (ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        assert case.regimes
        assert chosen.make()(*case)[1](np.ones((), case[0].dtype)).dtype == case[0].dtype


def test_every_rule_of_corpus_and_catalogue_is_examined(right: ModuleType) -> None:
    from gradcheck.catalogue import entries

    names = {subject.name for subject in right.subjects().values()}
    assert {entry.name for entry in entries()} < names
    assert {specimen.name for specimen in right.specimens() if specimen.family == "right"} < names
    assert set(right.ANY_DTYPE) < names


def test_interrupted_run_prints_what_was_seen(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--only", "textbook", "--examples", "4000", "--jobs", "1"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        start_new_session=True,  # so that the signal reaches the run and its workers, as from a terminal, and no other
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as running:
        assert running.stderr is not None
        assert "/4000 in " in running.stderr.readline()
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "examples were examined" in err
    assert "float64" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--only", "texbook"), "--only 'texbook' is in the name and dtype of no rule"),
        (("--examples", "0"), "--examples and --jobs must be at least 1"),
        (("--long", "--examples", "5"), "not allowed with argument"),
    ],
)
def test_bad_options_are_named(
    alarms: ModuleType, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        alarms.main(options)
    assert words in capsys.readouterr().err
