"""What the trials add up to: rates, a line for each mistake, who was taken for whom, and the bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill

from _diagnosis_trial import BROKEN, MISSED, NOTHING, RIGHT, UNDECIDED, UNKNOWN, WRONG, Trial
from _tables import laid_out

LEAST_RIGHT, MOST_WRONG = 0.95, 0.01
_WORDS = (RIGHT, UNKNOWN, WRONG, MISSED, UNDECIDED, BROKEN)

_HEAD = ("of", RIGHT, "of these, another name for the same", UNKNOWN, WRONG, "not caught")
WIDTH = 120  # of the lines in pages
BEGIN, END = "<!-- begin benchmarks/diagnosis.py -->", "<!-- end benchmarks/diagnosis.py -->"

Groups = dict[str, list[Trial]]
Key = Callable[[Trial], str]


def applied(trials: Sequence[Trial]) -> list[Trial]:
    """Leave out the mistakes that change nothing in their rule."""
    return [trial for trial in trials if trial.word != NOTHING]


def page(conditions: Mapping[str, str], groups: Groups, *, as_markdown: bool) -> str:
    """Write all tables, and what the numbers depend on."""
    injected, corpus = groups.get(INJECTED, []) + groups.get(HELD_OUT, []), groups.get(CORPUS, [])
    tables = [
        _rates(groups),
        _by_mistake(injected, groups.get(HELD_OUT, [])),
        _by("by rule", injected, lambda trial: trial.subject),
        _by("corpus, by family", corpus, lambda trial: trial.kind.partition("/")[0]),
        *(_confusions(name, trials) for name, trials in groups.items()),
    ]
    about = fill(", ".join(f"{name} {value}" for name, value in conditions.items()), WIDTH)
    return "\n\n".join([about, *(laid_out(t, as_markdown=as_markdown) for t in tables if len(t) > 1)])


def put_into(text: str, tables: str) -> str:
    """Give a page of Markdown with the tables between its marks, exactly as ``--markdown`` prints them."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"the page has no {BEGIN!r} with {END!r} behind it: put both where the tables belong")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def _rates(groups: Groups) -> list[list[str]]:
    return [["", "of", *_WORDS], *(_line(name, applied(trials)) for name, trials in groups.items() if trials)]


def _line(name: str, trials: Sequence[Trial]) -> list[str]:
    counts = Counter(trial.word for trial in trials)
    shares = [f"{counts[word]} ({counts[word] / len(trials):.1%})" if counts[word] else "0" for word in _WORDS]
    return [name, str(len(trials)), *shares]


def _by_mistake(injected: Sequence[Trial], held_out: Sequence[Trial]) -> list[list[str]]:
    """Give a line for each mistake, with the number of rules it changes anything in, and how many are held out."""
    rows = []
    theirs = _apart(held_out, lambda trial: trial.kind)
    for kind, trials in _apart(injected, lambda trial: trial.kind).items():
        rules = [len({trial.subject for trial in applied(some)}) for some in (trials, theirs.get(kind, []))]
        rows.append([kind, *map(str, rules), *_counts(trials)])
    return [["by mistake", "rules", "held out", *_HEAD], *rows]


def _by(name: str, trials: Sequence[Trial], key: Key) -> list[list[str]]:
    """Give a line for each key, with the number of mistakes that change nothing there."""
    rows = [[label, *_counts(some), str(len(some) - len(applied(some)))] for label, some in _apart(trials, key).items()]
    return [[name, *_HEAD, NOTHING], *rows]


def _apart(trials: Sequence[Trial], key: Key) -> dict[str, list[Trial]]:
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(key(trial), []).append(trial)
    return found


def _counts(trials: Sequence[Trial]) -> list[str]:
    counts = Counter(trial.word for trial in trials)
    same = sum(trial.same for trial in trials)
    lost = counts[MISSED] + counts[UNDECIDED] + counts[BROKEN]
    return [str(n) for n in (len(applied(trials)), counts[RIGHT], same, counts[UNKNOWN], counts[WRONG], lost)]


def _confusions(name: str, trials: Sequence[Trial]) -> list[list[str]]:
    """Say who was taken for whom, and where."""
    wrong = [trial for trial in applied(trials) if trial.word != RIGHT]
    pairs = _apart(wrong, lambda trial: f"{trial.kind} -> {trial.first or trial.word}")
    rows = [
        [f"{pair}: {', '.join(dict.fromkeys(trial.subject for trial in some))}", str(len(some))]
        for pair, some in sorted(pairs.items())
    ]
    return [[f"not named right, {name}", "times"], *rows]


INJECTED, HELD_OUT, UNLISTED, CORPUS = "injected", "injected, held out", "of no listed kind", "corpus"


def failures(groups: Groups) -> list[str]:
    """Name every bound that was missed."""
    both = applied(groups.get(INJECTED, []) + groups.get(HELD_OUT, []))
    missed = []
    if both and (share := _share(both, RIGHT)) < LEAST_RIGHT:
        missed.append(f"{share:.1%} of the injected mistakes are named right, at least {LEAST_RIGHT:.0%} is the bound")
    everything = applied([trial for trials in groups.values() for trial in trials])
    if everything and (share := _share(everything, WRONG)) > MOST_WRONG:
        missed.append(f"{share:.1%} of all wrong gradients are named wrong, at most {MOST_WRONG:.0%} is the bound")
    missed += [
        f"{trial.kind}: of no listed kind, but: {trial.word} {trial.first} {trial.why}".rstrip()
        for trial in groups.get(UNLISTED, [])
        if trial.word != RIGHT or trial.same
    ]
    for trials in groups.values():
        missed += [f"{trial.kind} in {trial.subject}: {trial.why}" for trial in trials if trial.word == BROKEN]
    return missed


def _share(trials: Sequence[Trial], word: str) -> float:
    return sum(trial.word == word for trial in trials) / len(trials)
