"""The first paragraph of a report: what these runs show, and what they do not, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from resnet_lit.formatting import counted, listed, number, p_equals, percent, spread
from resnet_lit.reporting.analysis import METRIC, chooses
from resnet_lit.reporting.cells import Cell, Section
from resnet_lit.reporting.contents import Analysis, Comparison, Effect, Pair, Ranked, Report
from resnet_lit.reporting.naming import WORD, names, shortened
from resnet_lit.reporting.statistics import ALPHA
from resnet_lit.typed import show

SECTIONS = 3  # told of in the paragraph; each has a section of its own anyway
NAMED = 5  # factors or groups of factors named in a sentence


@dataclass(frozen=True)
class Findings:
    """Sentences. counted: how many runs there are; shown: what they say; open: what they do not say."""

    counted: str
    shown: tuple[str, ...]
    open: tuple[str, ...]


def findings(report: Report) -> Findings:
    """What a reader should take away before any table."""
    runs = [run for section in report.sections for run in section.runs]
    if not runs:
        return Findings("There are no runs here, so nothing was measured.", (), ())
    real = [analysis for analysis in report.analyses if not analysis.section.says_nothing]
    several = len(report.analyses) > 1
    shown = [line for analysis in real[:SECTIONS] for line in _shown(analysis, several)]
    if len(real) > SECTIONS:
        shown.append(f"{counted(len(real) - SECTIONS, 'smaller section follows', 'smaller sections follow')} below.")
    return Findings(
        _counted(report, [run.status for run in runs]),
        tuple(shown + list(_paper(report, measured=True))),
        tuple([line for analysis in real[:SECTIONS] for line in _open(analysis, several)] + list(_left(report))),
    )


def _counted(report: Report, statuses: list[str]) -> str:
    count = Counter(statuses)
    other = [f"{number} {status}" for status, number in count.most_common() if status != "finished"]
    runs, finished = counted(len(statuses), "run"), f"{count['finished'] or 'none'} finished"
    said = f"{runs}: {listed([finished, *other])}." if other else f"{runs}, all finished." if len(statuses) > 1 else f"{runs}."
    kinds = len(report.sections)
    return said + (
        f" They fall into {kinds} groups by data and protocol, which do not compare with each other." if kinds > 1 else ""
    )


# --- what they show


def _shown(analysis: Analysis, several: bool) -> Iterator[str]:
    section, ranking = analysis.section, analysis.ranking
    if not ranking:
        return
    where = f"On {_where(section)}, " if several else ""
    best = ranking[0]
    found = best.cell.summary(METRIC)
    assert found is not None
    reached = f"{spread(METRIC, found)}% test accuracy"
    reached += f" over {counted(found.n, 'seed')}" if found.n > 1 else " in one run"
    name = names(section)(best.cell)
    if len(ranking) == 1:
        yield _sentence(f"{where}the one cell, {name}, reached {reached}.")
        return
    by = "validation" if chooses(section) == "val/accuracy" else "test"
    ranked = sum(one.place is not None for one in ranking)
    yield _sentence(f"{where}the best of {counted(ranked, 'cell')} by {by} accuracy is {name}: {reached}.")
    apart = [one for one in ranking[1:] if one.gap is not None and one.gap.resolved]
    worse = [one for one in apart if one.gap is not None and one.gap.mean > 0]
    if worse:
        nearest = worse[0]
        gap = nearest.gap
        assert gap is not None
        yield (
            f"It is distinguishably better than {_some(len(worse), len(ranking) - 1)}, the nearest of which "
            f"({names(section)(nearest.cell)}) is {number(METRIC, gap.mean)} points below."
            if len(worse) > 1
            else f"It is distinguishably better than {names(section)(nearest.cell)}, by {number(METRIC, gap.mean)} points."
        )
    for effect in [effect for effect in analysis.effects.effects if effect.p is not None and effect.p < ALPHA][:NAMED]:
        yield _effect(effect)
    for pair in [pair for pair in analysis.effects.pairs if pair.difference.resolved][:NAMED]:
        apart_by = number(METRIC, pair.difference.mean)
        yield f"All else equal, {_value(pair, pair.first)} is {apart_by} points above {_value(pair, pair.second)} (p {_p(pair)})."


def _value(pair: Pair, cell: Cell) -> str:
    return f"{pair.factor}={shortened(show(cell.factors[pair.factor]), WORD)}"


def _p(pair: Pair) -> str:
    adjusted = pair.difference.adjusted
    return p_equals(adjusted if adjusted is not None else pair.difference.p or 0.0)


def _some(part: int, whole: int) -> str:
    return ("both others" if whole == 2 else f"all {whole} others") if part == whole else f"{part} of the {whole} others"


def _effect(effect: Effect) -> str:
    best = max(effect.levels, key=lambda level: level.effect)
    worst = min(effect.levels, key=lambda level: level.effect)
    apart = number(METRIC, best.effect - worst.effect)
    p = p_equals(effect.p) if effect.p is not None else ""
    values = [shortened(show(level.value), WORD) for level in (best, worst)]
    return (
        f"With the other settings held, {effect.factor}={values[0]} is {apart} points above {effect.factor}={values[1]} (p {p})."
    )


# --- what they do not show


def _open(analysis: Analysis, several: bool) -> Iterator[str]:
    section, ranking = analysis.section, analysis.ranking
    where = f"on {_where(section)}, " if several else ""
    if not ranking:
        yield f"Anything{f' on {_where(section)}' if several else ''}: no run has finished."
        return
    single = [one for one in ranking if len(one.cell.finished) < 2]
    if len(ranking) > 1:
        undecided = [one for one in ranking[1:] if one.gap is not None and not one.gap.resolved and min(one.gap.n) > 1]
        if undecided:
            yield _sentence(
                f"{where}whether {_cells(section, undecided)} {_is(undecided)} worse than the best: within the seeds' noise."
            )
        untold = [one for one in ranking[1:] if one.gap is not None and one.gap.p is None]
        if untold:
            lone = len(ranking[0].cell.finished) < 2
            why = "the best cell has one run" if lone else "one run each" if len(untold) > 1 else "it has one run"
            yield _sentence(
                f"{where}how {_cells(section, untold)} {'compares' if len(untold) == 1 else 'compare'} with the best: {why}."
            )
    elif single:
        yield _sentence(f"{where}how much another seed would differ: one run has no interval.")
    for group in analysis.effects.confounded[:NAMED]:
        more = f" and {len(group) - NAMED} more" if len(group) > NAMED + 1 else ""
        named = f"{', '.join(group[:NAMED])}{more}" if more else listed(list(group))
        yield _sentence(f"{where}what {named} do by themselves: these runs change them only together.")
    quiet = [effect.factor for effect in analysis.effects.effects if effect.p is not None and effect.p >= ALPHA]
    if quiet:
        more = f" and {len(quiet) - NAMED} more" if len(quiet) > NAMED + 1 else ""
        named = ", ".join(quiet[:NAMED]) + more if more else listed(quiet).replace(" and ", " or ")
        yield _sentence(f"{where}any effect of {named} that the seeds' noise would not explain.")


def _cells(section: Section, found: list[Ranked]) -> str:
    return names(section)(found[0].cell) if len(found) == 1 else f"{len(found)} of the other cells"


def _is(found: list[Ranked]) -> str:
    return "is" if len(found) == 1 else "are"


def _left(report: Report) -> Iterator[str]:
    for section in report.sections:
        if section.says_nothing:
            runs = counted(len(section.runs), "run")
            yield f"Anything from the {runs} at {section.scale} scale: they only show that everything works."
    lost = [run for section in report.sections for run in section.runs if run.status in ("failed", "diverged", "interrupted")]
    if lost:
        yield f"What the {counted(len(lost), 'run')} without a result would have given: {_counts(run.status for run in lost)}."
    yield from _paper(report, measured=False)


def _counts(statuses: Iterable[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in Counter(statuses).most_common())


def _paper(report: Report, *, measured: bool) -> Iterator[str]:
    """The paper's numbers, where some were measured or where none was."""
    judged = Counter(claim.verdict for claim in report.claims if claim.ours is not None)
    if measured and judged:
        said = ", ".join(f"{count} {word}" for word, count in judged.most_common())
        yield f"Of the paper's numbers that these runs repeat: {said}."
    if not measured and not judged:
        yield "Any of the paper's numbers: no run here repeats one of its settings."


def _where(section: Section) -> str:
    return f"{section.variant} ({section.protocol})"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def one_run(report: Report) -> Findings:
    """The same of a report of a single run."""
    (analysis,) = report.analyses
    ((run,),) = [section.runs for section in report.sections]
    if not run.counts:
        return Findings(f"The run did not finish: {run.status}{f' ({run.reason})' if run.reason else ''}.", (), ())
    found = run.value(METRIC)
    epochs = counted(int(run.record.get("epochs") or 0), "epoch")
    said = f"{run.title} was trained for {epochs} on {run.variant} and reached {percent(found or 0)} test accuracy."
    shown = () if analysis.section.says_nothing else (said,)
    open_ = ["How much another seed would differ: that takes several runs of the same cell."]
    return Findings("One run, finished.", shown, (*open_, *_left(report)))


def of_comparison(sides: Comparison) -> Findings:
    """What two cells or runs, A and B, show against each other."""
    said = f"A is {sides.names[0]}. B is {sides.names[1]}."
    test = sides.differences.get(METRIC)
    if sides.warning or test is None:
        return Findings(said, (), (sides.warning or "How they compare: not both have finished.",))
    p = test.p if test.adjusted is None else test.adjusted
    which = "A" if test.mean > 0 else "B"
    points = number(METRIC, abs(test.mean))
    apart = f"{which} is {points} points of test accuracy above {'B' if which == 'A' else 'A'}"
    shown, open_ = [f"{apart}{f' (p {p_equals(p)})' if p is not None else ''}."], []
    if not test.resolved:
        why = "each needs two seeds or more" if p is None else "the difference is within the seeds' noise"
        open_.append(f"Whether another pair of seeds would say the same: {why}.")
    if sides.images is not None and sides.images.p is not None:
        shown.append(
            f"On the same test images these two networks differ with p {p_equals(sides.images.p)} (McNemar), other seeds aside."
        )
    return Findings(said, tuple(shown), tuple(open_))
