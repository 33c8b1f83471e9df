"""report.html: one page without any request to the network, that holds its charts, the library that draws them, and every table.

Jinja2 escapes whatever comes from a run. Numbers that many runs would make long are capped, and the page says where.
"""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from resnet_lit.reporting import figures, onerun, plots
from resnet_lit.reporting.answers import Answers
from resnet_lit.reporting.cells import Section
from resnet_lit.reporting.charts import Chart
from resnet_lit.reporting.contents import Analysis, Claim, Comparison, Report, Table
from resnet_lit.reporting.plots import Group
from resnet_lit.reporting.rendering import Fact, points, render, signed, text_of
from resnet_lit.reporting.runs import Run
from resnet_lit.reporting.words import is_share, number
from resnet_lit.typed import flatten, show

PAGE, EVALUATION = "report.html", "evaluation.html"
CHOSEN = {"val": "chosen by validation accuracy", "test": "chosen by test accuracy"}
LIMITS = {"cells": 300, "unfinished": 200, "runs": 300, "problems": 200, "contrasts": 12}


def write(report: Report, folder: Path) -> list[Path]:
    """Write report.html and figures/ into `folder`. Returns the page and the SVG files."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        _part(analysis, prefix, plots.labels(analysis.section, report.paper_cells))
        for analysis, prefix in zip(report.analyses, plots.prefixes(report.sections), strict=True)
        if analysis.section.runs
    ]
    about: dict[str, Any] = {
        "report": report,
        "parts": parts,
        "limits": LIMITS,
        "paper_figures": plots.paper_figures(report),
        "places": _places(report),
        "verdicts": Counter(claim.verdict for claim in report.claims).most_common(),
        "shown": None,
        "compared": None,
    }
    runs = [run for section in report.sections for run in section.runs]
    if len(runs) == 1 and report.comparison is None:
        parts[0]["groups"] = []  # they stand with the run itself
        about |= _one_run(runs[0], report.sections[0])
    if report.comparison:
        about |= _comparison(report, report.comparison)
    facts = [fact for fact in _facts(report, runs) if about["shown"] is None or not fact.big]  # of one run there is one
    about |= {"facts": facts, "contents": _contents(about), **_title(report, runs)}
    page = folder / PAGE
    page.write_text(render("report.html", folder, about), encoding="utf-8")
    return [page, *figures.write(_charts(about), folder)]


def write_evaluation(found: dict[str, Any], answers: Answers, images: np.ndarray, folder: Path) -> Path:
    """Write evaluation.html and figures/ of one evaluation: `found` as in evaluation.json, images (N, C, H, W) uint8."""
    data, (low, high) = found["data"], found["interval"]
    places = onerun.most_confident(answers)
    shown = onerun.Shown(tuple(onerun.of_answers(answers)), onerun.pictures(answers, places, images[places]))
    facts = [
        Fact("accuracy", f"{points(found['accuracy'])} %", f"{points(low)} to {points(high)} for other such images", big=True),
        Fact("loss", f"{found['loss']:.4f}", big=True),
        Fact("calibration error", f"{points(found['calibration_error'])} %", big=True),
        Fact("images", f"{data['images']:,}", f"{data['variant']}, {data['part']}"),
        Fact("weights", found["checkpoint"], f"sha256 {found['sha256'][:16]}"),
        Fact("evaluated", found["evaluated"].replace("T", " ").replace("+00:00", " UTC")),
        Fact("run", found["run"], code=True, all=True),
    ]
    contents = [{"title": group.title, "anchor": group.anchor, "inside": []} for group in shown.groups]
    contents += [{"title": "Most confident mistakes", "anchor": "mistakes", "inside": []}] if shown.mistakes else []
    title = f"{data['variant']}, {data['part']}: {points(found['accuracy'])} % right"
    page = folder / EVALUATION
    about = {"shown": shown, "facts": facts, "contents": contents, "title": title}
    page.write_text(render("evaluation.html", folder, about), encoding="utf-8")
    figures.write((chart for group in shown.groups for chart in group.charts), folder)
    return page


def _part(analysis: Analysis, prefix: str, label: plots.Labels) -> dict[str, Any]:
    """What the template of a section needs."""
    section = analysis.section
    behind = {id(found.cell): found.behind for found in analysis.ranking}
    best = plots.ranked(section)
    cells = best + [cell for cell in section.cells if not cell.finished]
    unfinished = [(cell, run) for cell in section.cells for run in cell.others]
    return {
        "analysis": analysis,
        "section": section,
        "prefix": prefix,
        "label": label,
        "chosen": plots.chosen_words(section),
        "usual": list(plots.usual(section).items()) if len(section.cells) > 1 and cells[0].title != label(cells[0]) else [],
        "alike": len({(cell.parameters, cell.macs) for cell in cells}) == 1,
        "factors": [(name, _values(values)) for name, values in section.factors.items()],
        "cells": [
            {
                "cell": cell,
                "behind": behind.get(id(cell)),
                "told": _told(behind[id(cell)]) if id(cell) in behind else "",
                "unfinished": Counter(run.status for run in cell.others).most_common(),
            }
            for cell in cells[: LIMITS["cells"]]
        ],
        "more": len(cells) if len(cells) > LIMITS["cells"] else 0,
        "ranked": len(best) > 1,
        "validates": any(cell.summary("val/accuracy") for cell in best[: LIMITS["cells"]]),
        "unfinished": unfinished[: LIMITS["unfinished"]],
        "unfinished_count": len(unfinished),
        "runs": [(cell, run) for cell in cells for run in cell.runs][: LIMITS["runs"]],
        "groups": plots.groups(analysis, prefix, label),
    }


def _values(values: tuple[Any, ...]) -> str:
    shown = [show(value) for value in values[:12]]
    return ", ".join(shown) + (f", … ({len(values)} values)" if len(values) > 12 else "")


def _told(behind: Any) -> str:
    """Whether a cell differs from the best of its section, in words."""
    if behind is None:
        return "the best here"
    p = behind.p if behind.adjusted is None else behind.adjusted
    if p is None:
        return behind.how
    return f"{'yes' if behind.resolved else 'no'}, p {text_of(p)}"


def _one_run(run: Run, section: Section) -> dict[str, Any]:
    record = run.record
    low_high = _interval(run)
    facts = [
        Fact("test accuracy", f"{points(run.value('test/accuracy'))} %", low_high, big=True),
        Fact("validation accuracy", f"{points(run.value('val/accuracy'))} %", big=True),
        Fact("test accuracy, last weights", f"{points(run.value('test/accuracy_last'))} %", big=True),
        Fact(
            "chosen epoch",
            str(run.best.get("epoch", "")),
            f"of {record.get('epochs')}, {CHOSEN.get(str(run.best.get('chosen_on')), 'the last one')}",
        ),
    ]
    provenance = {
        "folder": run.folder,
        "command": record.get("command") or "started from Python",
        "identity": run.identity,
        "data": f"{run.variant}, sha256 {run.data_hash}",
        "seed": run.seed,
        "protocol": run.protocol,
        "commit": run.commit or "an installed package",
        "trained on": run.device,
        "started, ended": f"{record.get('started')}, {record.get('ended')}",
        "versions": ", ".join(f"{name} {version}" for name, version in (record.get("versions") or {}).items() if version),
    }
    return {
        "run": run,
        "shown": onerun.of_run(run),
        "part_notes": section.notes,
        "run_facts": [fact for fact in facts if fact.text.strip(" %")] if run.counts else [],
        "provenance": list(provenance.items()),
        "config_rows": [(key, show(value)) for key, value in flatten(record["config"]).items()],
    }


def _interval(run: Run) -> str:
    """The 95 % interval of one network's accuracy for other images of the same kind; of seeds it says nothing."""
    accuracy, images = run.value("test/accuracy"), run.test_images
    if accuracy is None or not images:
        return ""
    from scipy.stats import binomtest

    found = binomtest(round(accuracy * images), images).proportion_ci(0.95, method="wilson")
    return f"{points(found.low)} to {points(found.high)} for other such images; other seeds differ too"


def _comparison(report: Report, sides: Comparison) -> dict[str, Any]:
    rows, drawn = [], []
    everything = {**sides.differences, **({"the same test images": sides.images} if sides.images else {})}
    for metric, found in everything.items():
        first, second = sides.first.summary(metric), sides.second.summary(metric)
        share = is_share(metric) or found is sides.images
        scale = signed if share else functools.partial(_plain, metric, sign=True)
        unit = points if share else functools.partial(_plain, metric)
        p = found.p if found.adjusted is None else found.adjusted
        rows.append(
            {
                "metric": metric,
                "first": unit(first.mean) if first else "",
                "second": unit(second.mean) if second else "",
                "mean": scale(found.mean),
                "interval": f"{scale(found.low)} to {scale(found.high)}" if found.low is not None else "",
                "p": text_of(p),
                "how": f"{found.how}, n = {found.n[0]} and {found.n[1]}",
                "told": "" if p is None else "yes" if found.resolved else "not distinguishable",
            }
        )
        if share:
            drawn.append((metric, found))
    return {
        "comparison_rows": rows,
        "comparison_chart": plots.differences(drawn) if drawn else None,
        "compared": plots.compared(report),
    }


def _plain(metric: str, value: float | None, *, sign: bool = False) -> str:
    return number(metric, value, sign=sign).replace("-", "\N{MINUS SIGN}")


def _places(report: Report) -> list[tuple[str, list[Claim], list[Table]]]:
    """Each table of the paper with the test accuracies that it prints, beside ours."""
    names = [table.name for table in report.tables]
    accuracies = [claim for claim in report.claims if claim.metric.startswith("test/accuracy")]

    def belongs(claim: Claim, name: str) -> bool:
        return claim.place == name or (name == "regularisation" and claim.place not in names)  # figures 1 to 4

    return [(table.name, [claim for claim in accuracies if belongs(claim, table.name)], [table]) for table in report.tables]


# --- the top of the page


def _title(report: Report, runs: list[Run]) -> dict[str, str]:
    if report.comparison:
        title = f"{report.comparison.first.title} beside {report.comparison.second.title}"
    elif len(runs) == 1:
        title = f"{runs[0].title}, seed {runs[0].seed}"
    else:
        title = f"What {len(runs):,} runs measured" if runs else "Nothing measured"
    if len(runs) == 1:
        lead = "What one run learned, where it errs, how far its confidence can be trusted, and where its time went."
        return {"title": title, "lead": lead}
    lead = "What was measured beside what was claimed: means over seeds with their intervals, and which differences are real."
    return {"title": title, "lead": lead}


def _facts(report: Report, runs: list[Run]) -> list[Fact]:
    statuses = Counter(run.status for run in runs)
    other = ", ".join(f"{count} {status}" for status, count in statuses.most_common() if status != "finished")
    cells = sum(len(section.cells) for section in report.sections)
    facts = [
        Fact("finished runs", f"{statuses['finished']:,}", other, big=True),
        Fact("cells (settings)", f"{cells:,}", big=True),
        Fact("data", _some(run.variant for run in runs)),
        Fact("protocol", _some(run.protocol for run in runs)),
        Fact("trained on", _some(run.device for run in runs)),
        Fact("commit", _some(run.commit or "installed package" for run in runs), _plus(runs)),
        Fact("made", report.made.replace("T", " ").replace("+00:00", " UTC")),
        Fact("read from", report.source, code=True, all=True),
        Fact("command", report.command, code=True, all=True),
    ]
    return [fact for fact in facts if fact.text]


def _plus(runs: list[Run]) -> str:
    return "+: with files changed since that commit" if any(run.commit.endswith("+") for run in runs) else ""


def _some(texts: Any) -> str:
    """The texts that occur, the most frequent first, with how often each where there are several."""
    found = Counter(texts).most_common()
    if len(found) == 1:
        return str(found[0][0])
    listed = ", ".join(f"{text} ({count:,})" for text, count in found[:4])
    return listed + (f" and {len(found) - 4} more" if len(found) > 4 else "")


def _contents(about: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of the table of contents."""
    found: list[dict[str, Any]] = []

    def add(title: str, anchor: str, *inside: tuple[str, str]) -> None:
        found.append({"title": title, "anchor": anchor, "inside": [{"title": name, "anchor": place} for name, place in inside]})

    if about["report"].comparison:
        add("A beside B", "comparison")
    if about["shown"]:
        inner = [(group.title, group.anchor) for group in about["shown"].groups]
        mistakes = [("Most confident mistakes", "mistakes")] if about["shown"].mistakes else []
        add("The run", "run", *inner, *mistakes, ("Where it comes from", "provenance"), ("Its config", "config"))
    for part in about["parts"]:
        title = "All cells" if len(part["cells"]) > 1 else "The cell"
        inner = [(title, f"{part['prefix']}table")] if part["cells"] else []
        inner += [("Runs that have not finished", f"{part['prefix']}unfinished")] if part["unfinished"] else []
        add(part["section"].title, part["section"].anchor, *inner, *((group.title, group.anchor) for group in part["groups"]))
    orders = [("Orders", "paper-orders")] if about["report"].orders else []
    add("The paper's numbers", "paper", *orders, ("Figures 1 to 4", "paper-figures"), ("Its tables", "paper-tables"))
    add("What does not add up", "audit")
    if about["report"].problems:
        add("Left out", "problems")
    return found


def _charts(about: dict[str, Any]) -> list[Chart]:
    """Every chart of the page."""
    groups: list[Group] = [group for part in about["parts"] for group in part["groups"]]
    groups += about["shown"].groups if about["shown"] else ()
    groups += [about["compared"]] if about["compared"] else []
    found = [chart for group in groups for chart in group.charts]
    found += [chart for figure in about["paper_figures"] for chart in figure.charts]
    return found + ([about["comparison_chart"]] if about.get("comparison_chart") else [])
