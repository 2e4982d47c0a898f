from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gradcheck
from gradcheck.laws import Breach
from gradcheck.mistakes import Diagnosis, Evidence, Finding
from gradcheck.report import Report, Tally, one_line, render
from gradcheck.verdict import Discrepancy, Grade, Outcome, Vote

Compared = Callable[..., Discrepancy]
MakeReport = Callable[..., Report]

WIDTH = 100
NUMBERS = 5  # columns after the name of an entry


def _findings(text: str) -> list[str]:
    """Lines of a failure's text up to the pasted test."""
    lines = text.splitlines()
    return lines[: next(i for i, line in enumerate(lines) if line.endswith("paste this test:")) + 1]


def _field(text: str, label: str) -> str:
    """What stands after a label, wrapped lines joined."""
    lines = _findings(text)
    start = next(i for i, line in enumerate(lines) if line[2:14].strip() == label)
    wrapped = takewhile(lambda line: not line[2:14].strip(), lines[start + 1 :])
    return " ".join([lines[start][14:], *(line.strip() for line in wrapped)])


@pytest.mark.parametrize(
    ("tally", "line"),
    [
        (Tally(100, "entry-wise", 1.34, 3.2e-13, {"ties": 3, "huge": 1}),
         "PASS entry-wise, worst 1.3 ulp, would have seen 3e-13, 100 examples, 2/2 regimes"),
        (Tally(1, "norm-wise", 0.0, 1e-7, {"ties": 3, "huge": 0}),
         "PASS norm-wise, worst 0.0 ulp, would have seen 1e-07, 1 example, 1/2 regimes"),
        (Tally(20, "entry-wise", 0.0, np.inf),
         "PASS entry-wise, worst 0.0 ulp, the gradient is zero here, 20 examples, regimes of inputs not counted"),
        (Tally(2, "no entries", 0.0, np.inf, {"negative cotangent": 2}),
         "PASS no entries, 2 examples, regimes of inputs not counted"),
    ],
)  # fmt: skip
def test_a_pass_is_one_line(make_report: MakeReport, tally: Tally, line: str) -> None:
    report = make_report(outcome=Outcome.PASS, tally=tally)
    assert one_line(report) == line
    assert str(report).splitlines()[0] == line


def test_a_pass_notes_what_it_did_not_visit_and_who_judged(make_report: MakeReport) -> None:
    tally = Tally(100, "entry-wise", 1.0, 3.2e-13, {"ties": 3, "huge": 0}, {"judged by complex step": 7})
    assert str(make_report(outcome=Outcome.PASS, tally=tally)).splitlines()[1:] == [
        "  note        in 7 of 100 examples: judged by complex step",
        "  note        never visited: huge",
    ]


def test_a_pass_at_one_point_tells_of_that_point(make_report: MakeReport, compared: Compared) -> None:
    report = make_report(compared([2.0, 4.0], [2.0, 4.0], allowed=2e-14), outcome=Outcome.PASS)
    assert str(report) == "PASS entry-wise, worst 0.0 ulp, would have seen 5e-15"
    assert bool(report)


def test_one_line_of_anything_else_says_why(make_report: MakeReport) -> None:
    assert one_line(make_report()) == "FAIL hand.nll_grad: entries differ"
    undecided = make_report(outcome=Outcome.UNDECIDED, reason="the forward is not finite")
    assert one_line(undecided) == "UNDECIDED hand.nll_grad: the forward is not finite"
    assert not undecided


def test_a_failure_says_what_where_who_and_how_again(make_report: MakeReport, compared: Compared) -> None:
    votes = (
        Vote("autodiff", False, "by hand"),
        Vote("complex step", True, "close"),
        Vote("differences", None, "noisy"),
    )
    report = make_report(
        compared([[1.0, 0.0]], [[1.0, 0.5]]),
        votes=votes,
        notes=("a note",),
        tally=Tally(12, "entry-wise", 1.0, 1e-12, {"ties": 2, "huge": 0}),
        saved=Path(".gradcheck/failures/0123456789ab.npz"),
    )
    assert _findings(render(report)) == [
        "FAIL hand.nll_grad: entries differ",
        "  z           (1, 2): 2 entries, 1 wrong, norm-wise error 4.5e-01",
        "    entry                 analytic (yours)             reference ± its error   allowed       ratio",
        "    z[0, 1]                              0                   0.5     2.5e-13   1.0e-12           0",
        "  judged by   autodiff (against): by hand",
        "              complex step (for): close",
        "              differences (abstains): noisy",
        "  note        a note",
        "  after       12 examples, 1/2 regimes",
        "              never visited: huge",
        "  reproduce   gradcheck replay .gradcheck/failures/0123456789ab.npz",
        "              or paste this test:",
    ]


def test_a_failure_that_was_not_kept_is_pasted(make_report: MakeReport, compared: Compared) -> None:
    text = render(make_report(compared([1.0], [2.0])))
    assert _findings(text)[-1] == "  reproduce   paste this test:"
    assert "replay" not in text


def test_a_broken_law_needs_no_numbers(make_report: MakeReport) -> None:
    breach = Breach("deterministic", "two calls gave different cotangents")
    text = render(make_report(reason=breach.text, breach=breach, votes=()))
    assert _findings(text)[:2] == [
        "FAIL hand.nll_grad: two calls gave different cotangents",
        "  law         deterministic (without=('deterministic',) switches it off)",
    ]
    assert "judged by" not in text


def test_only_arrays_with_wrong_entries_are_shown(make_report: MakeReport, compared: Compared) -> None:
    right, wrong = compared([1.0], [1.0], path="W"), compared([1.0], [2.0], path="b")
    text = render(make_report(right, wrong))
    assert _field(text, "b").startswith("(1): 1 entry, 1 wrong")
    assert _field(text, "right") == "W (1)"
    assert not any(line.startswith("  W ") for line in text.splitlines())


def test_undecided_shows_every_array_it_is_undecided_about(make_report: MakeReport, compared: Compared) -> None:
    text = render(make_report(compared([1.0, 2.0], [1.0, 2.0], path="W"), outcome=Outcome.UNDECIDED))
    assert _field(text, "W").startswith("(2): 2 entries, 0 wrong")
    assert "right" not in text
    assert "analytic (yours)" not in text


def test_at_most_five_entries_worst_first(make_report: MakeReport, compared: Compared) -> None:
    reference = np.zeros(100)
    analytic = np.zeros(100)
    analytic[[7, 30, 31, 50, 51, 90, 91]] = [1.0, -4.0, 2.0, 7.0, -6.0, 5.0, 3.0]
    lines = _findings(render(make_report(compared(analytic, reference))))
    table = lines[lines.index(next(line for line in lines if "analytic" in line)) + 1 :]
    assert [line.split()[0] for line in table[:5]] == ["z[50]", "z[51]", "z[90]", "z[30]", "z[91]"]
    assert table[5] == "    and 2 more"


def test_the_census_counts_what_there_is(make_report: MakeReport, compared: Compared) -> None:
    discrepancy = compared([1.0, np.nan, 1e-15, -np.inf, 5.0], [1.0, 1.0, 2e-15, 1.0, 4.0])
    census = _field(render(make_report(discrepancy)), "z")
    assert census.startswith("(5): 5 entries, 3 wrong, 2 not finite, 1 not resolved")
    grades = [Grade.WRONG, Grade.NORM_WISE, Grade.KINK, Grade.KINK, Grade.UNKNOWN]
    graded = replace(discrepancy, grade=np.array(grades))
    assert _field(render(make_report(graded)), "z").startswith(
        "(5): 5 entries, 1 wrong, 1 norm-wise accurate only, 2 on a kink, 1 that nothing could judge, 2 not finite"
    )


def test_a_zero_truth_has_no_relative_error(make_report: MakeReport, compared: Compared) -> None:
    text = render(make_report(compared([0.0, 3.0], [0.0, 0.0])))
    assert "norm of the error 3.0e+00 where the truth is 0" in _field(text, "z")


def test_names_that_do_not_fit_keep_a_line_to_themselves(make_report: MakeReport, compared: Compared) -> None:
    name = "params['encoder']['W1']"
    lines = _findings(render(make_report(compared([[1.0, 2.0]], [[1.0, 3.0]], path=name))))
    at = lines.index(f"    {name}[0, 1]")
    assert len(lines[at + 1].split()) == NUMBERS
    assert f"  {name}" in lines
    assert lines[lines.index(f"  {name}") + 1].startswith(" " * 14 + "(1, 2): 2 entries")


def test_a_label_never_touches_what_it_labels(make_report: MakeReport, compared: Compared) -> None:
    for length in range(1, 20):
        text = render(make_report(compared([1.0], [2.0], path="p" * length)))
        assert "p(1)" not in text


FINDING = Finding(
    "factor N",
    "every entry is 4 times too large",
    "divide by N",
    (Evidence("the failing point", 1e12, 0.4), Evidence("z (3, 4)", 3e11, 0.0)),
    rivals=("factor K",),
    alike=("factor 4",),
    where="z (3, 4)",
)


def test_the_mistake_comes_first(make_report: MakeReport, compared: Compared) -> None:
    report = make_report(compared([4.0], [1.0]), diagnosed=Diagnosis((FINDING,)))
    assert _findings(str(report))[:5] == [
        "FAIL hand.nll_grad: every entry is 4 times too large",
        "  change      divide by N",
        "  evidence    explains 2 of 2 inputs: error 1e+12 allowances before, 0.4 allowances after; told from",
        "              'factor K' at z (3, 4); no input here tells it from 'factor 4'",
        "  why         entries differ",
    ]
    assert one_line(report) == "FAIL hand.nll_grad: every entry is 4 times too large"


def test_evidence_of_where_an_error_is_claims_no_more(make_report: MakeReport) -> None:
    where = replace(FINDING, evidence=(Evidence("z (1, 4)", 1e12, np.inf), Evidence("z (3, 4)", 0.1, 0.1)), alike=())
    text = str(make_report(diagnosed=Diagnosis((replace(where, rivals=()),))))
    assert _field(text, "evidence") == "wrong at 1 of 2 inputs: error up to 1e+12 allowances"


def test_what_is_unlike_all_and_what_went_wrong_are_said(make_report: MakeReport) -> None:
    unlike = make_report(diagnosed=Diagnosis(unlike="only row 0"))
    assert str(unlike).startswith("FAIL hand.nll_grad: unlike any known mistake: only row 0\n")
    assert one_line(unlike) == "FAIL hand.nll_grad: unlike any known mistake: only row 0"
    assert _field(str(unlike), "why") == "entries differ"
    text = str(make_report(diagnosed=Diagnosis(trouble="ValueError: 0")))
    assert text.startswith("FAIL hand.nll_grad: entries differ\n")
    assert _field(text, "what") == "the diagnosis itself failed: ValueError: 0"


def test_what_an_oracle_says_along_several_directions_is_said_once(make_report: MakeReport) -> None:
    votes = (Vote("differences", False, "one"), Vote("autodiff", True, "a"), Vote("differences", False, "two"))
    text = render(make_report(votes=(*votes, Vote("differences", None, "three"))))
    assert _field(text, "judged by") == (
        "differences (against, 2 times): one autodiff (for): a differences (abstains): three"
    )


def test_a_long_first_line_goes_on_below(make_report: MakeReport) -> None:
    lines = render(make_report(reason="more than fits " * 9)).splitlines()
    assert lines[0].startswith("FAIL hand.nll_grad: more than fits more")
    assert lines[1].startswith(" " * 14 + "than fits")
    assert "why" not in "".join(lines[:3])


def test_a_report_without_its_rule_has_no_finding(make_report: MakeReport) -> None:
    report = make_report()
    assert not report.findings
    assert "what" not in str(report).split()


def test_an_index_stays_in_one_piece(make_report: MakeReport) -> None:
    for length in range(60, 90):
        text = str(make_report(reason=f"{'a' * length} at z[0, 12] of (10, 13)"))
        assert "z[0, 12]" in text
        assert "(10, 13)" in text


def test_a_long_list_of_regimes_is_cut(make_report: MakeReport, compared: Compared) -> None:
    tally = Tally(3, "entry-wise", 1.0, 1e-12, {f"regime{i}": 0 for i in range(12)})
    text = render(make_report(compared([1.0], [2.0]), tally=tally))
    assert "regime9 and 2 more" in " ".join(text.split())
    assert "regime10" not in text


WORDS = st.text(  # no digits, so that only a row of numbers looks like one
    "abcdefghij.,:;-()[]' ", max_size=300
)
NUMBER = st.floats(width=64)


@given(data=st.data(), path=st.from_regex(r"[a-z]{1,12}(\['[a-z]{1,9}'\]){0,4}", fullmatch=True), words=WORDS)
def test_no_line_is_wider_than_the_screen_and_no_column_runs_into_another(
    make_report: MakeReport, compared: Compared, data: st.DataObject, path: str, words: str
) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=12))
    analytic, reference = (data.draw(hnp.arrays(float, shape, elements=NUMBER)) for _ in range(2))
    allowed = data.draw(st.floats(min_value=5e-324, max_value=1e300))
    with np.errstate(all="ignore"):
        discrepancy = compared(analytic, reference, path=path, allowed=allowed)
        report = make_report(discrepancy, reason=words, votes=(Vote("autodiff", False, words),), notes=(words,))
        lines = _findings(render(report))
    longest = max(map(len, f"{words} FAIL hand.nll_grad:".split()))
    assert max(map(len, lines)) <= max(WIDTH, 14 + longest)
    assert sum(map(_is_row, lines)) == min(int(discrepancy.wrong.sum()), 5)


def _is_row(line: str) -> bool:
    try:
        return line.startswith("    ") and len([float(word) for word in line.split()[-NUMBERS:]]) == NUMBERS
    except ValueError:
        return False


def test_what_a_terminal_would_obey_or_could_not_encode_is_escaped() -> None:
    name = "w\N{ESCAPE}[31m\N{RIGHT-TO-LEFT OVERRIDE}\ud800"
    rule = gradcheck.from_vjp(np.square, lambda w, c: 3 * w * c, name=name)
    text = str(gradcheck.examine(replace(rule, parameters=(name,)), np.array([1.0, 2.0])))
    assert r"w\u001b[31m\u202e\ud800" in text
    assert not set(text) & {"\N{ESCAPE}", "\N{RIGHT-TO-LEFT OVERRIDE}", "\ud800"}
