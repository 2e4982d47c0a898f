"""What the trials add up to: rates, a line for each mistake, who was taken for whom, and the bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from _diagnosis_trial import BROKEN, MISSED, NOTHING, RIGHT, UNDECIDED, UNKNOWN, WRONG, Trial
from _tables import laid_out

LEAST_RIGHT, MOST_WRONG = 0.95, 0.01
FEW = 5  # a mistake is put into as many unlike rules at least, wherever it makes so many wrong
_WORDS = (RIGHT, UNKNOWN, WRONG, MISSED, UNDECIDED, BROKEN)

Groups = dict[str, list[Trial]]


def applied(trials: Sequence[Trial]) -> list[Trial]:
    """Leave out the mistakes that change nothing in their rule."""
    return [trial for trial in trials if trial.word != NOTHING]


def page(groups: Groups, *, as_markdown: bool) -> str:
    """Write all tables."""
    tables = [_rates(groups), *_by(groups)]
    return "\n\n".join([*(laid_out(t, as_markdown=as_markdown) for t in tables if len(t) > 1), *_confusions(groups)])


def _rates(groups: Groups) -> list[list[str]]:
    return [["", "of", *_WORDS], *(_line(name, applied(trials)) for name, trials in groups.items() if trials)]


def _line(name: str, trials: Sequence[Trial]) -> list[str]:
    counts = Counter(trial.word for trial in trials)
    shares = [f"{counts[word]} ({counts[word] / len(trials):.1%})" if counts[word] else "0" for word in _WORDS]
    return [name, str(len(trials)), *shares]


def _by(groups: Groups) -> list[list[list[str]]]:
    """Give a line for each mistake, with the rules that it changes nothing in, and one for each family or rule."""
    injected = groups.get(INJECTED, []) + groups.get(HELD_OUT, [])
    head = ["of", RIGHT, "of these, another name for the same", UNKNOWN, WRONG, "not caught", NOTHING]
    keys: tuple[tuple[str, list[Trial], Callable[[Trial], str]], ...] = (
        ("by mistake", injected, lambda trial: trial.kind),
        ("by rule", injected, lambda trial: trial.subject),
        ("corpus, by family", groups.get(CORPUS, []), lambda trial: trial.kind.partition("/")[0]),
    )
    tables = []
    for name, trials, key in keys:
        rows = [_counts(label, [t for t in trials if key(t) == label]) for label in dict.fromkeys(map(key, trials))]
        tables.append([[name, *head], *rows])
    return tables


def _counts(label: str, trials: Sequence[Trial]) -> list[str]:
    counts = Counter(trial.word for trial in trials)
    same = sum(trial.same for trial in trials)
    lost = counts[MISSED] + counts[UNDECIDED] + counts[BROKEN]
    numbers = (counts[RIGHT], same, counts[UNKNOWN], counts[WRONG], lost, counts[NOTHING])
    return [label, str(len(applied(trials))), *map(str, numbers)]


def _confusions(groups: Groups) -> list[str]:
    """Say who was taken for whom, and where."""
    found = []
    for name, trials in groups.items():
        pairs: dict[tuple[str, str], list[str]] = {}
        for trial in applied(trials):
            if trial.word != RIGHT:
                pairs.setdefault((trial.kind, trial.first or trial.word), []).append(trial.subject)
        lines = [f"  {kind} -> {taken}: {', '.join(where)}" for (kind, taken), where in sorted(pairs.items())]
        found += ["\n".join([f"Confusions, {name}:", *lines])] if lines else []
    return found


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
