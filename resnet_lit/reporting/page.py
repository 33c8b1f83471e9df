"""report.html: one page without any request to the network, that holds its charts, the library that draws them, and every table.

Jinja2 escapes whatever comes from a run. Numbers that many runs would make long are capped, and the page says where.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnet_lit.formatting import duration, interval, is_share, large, metric_name, number, p_value, percent
from resnet_lit.reporting import figures, onerun, plots
from resnet_lit.reporting.analysis import how_ranked, verdict_of
from resnet_lit.reporting.answers import Answers
from resnet_lit.reporting.budget import accuracy_at_a_budget
from resnet_lit.reporting.cells import Section
from resnet_lit.reporting.charts import Chart
from resnet_lit.reporting.contents import Analysis, Claim, Comparison, Report, Table
from resnet_lit.reporting.findings import findings, of_comparison, one_run
from resnet_lit.reporting.naming import LINE, WORD, names, shortened
from resnet_lit.reporting.plots import Group
from resnet_lit.reporting.rendering import Fact, points, render, typeset
from resnet_lit.reporting.runs import Run
from resnet_lit.typed import flatten, show

PAGE, EVALUATION = "report.html", "evaluation.html"
CHOSEN = {"val": "chosen by validation accuracy", "test": "chosen by test accuracy"}  # the epoch
LIMITS = {
    "cells": 300,
    "unfinished": 200,
    "runs": 300,
    "problems": 200,
    "contrasts": 12,
    "factors": 6,
    "differing": 12,
    "remarks": 5,
    "pairs": 20,
}


class Written(NamedTuple):
    """What was written: the page and the SVG files; troubles: figures that could not be drawn, and why."""

    page: Path
    figures: list[Path]
    troubles: list[str]


def write(report: Report, folder: Path) -> Written:
    """Write report.html and figures/ into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        _part(analysis, prefix)
        for analysis, prefix in zip(report.analyses, plots.prefixes(report.sections), strict=True)
        if analysis.section.runs
    ]
    about: dict[str, Any] = {
        "report": report,
        "parts": parts,
        "limits": LIMITS,
        "budget": accuracy_at_a_budget(report.sections),
        "paper_figures": plots.paper_figures(report),
        "places": _places(report),
        "verdicts": Counter(claim.verdict for claim in report.claims).most_common(),
        "measured": any(claim.ours for claim in report.claims),
        "ordered": [order for order in report.orders if order.contrasts],
        "shown": None,
        "compared": None,
        "findings": findings(report),
    }
    runs = [run for section in report.sections for run in section.runs]
    if len(runs) == 1 and report.comparison is None:
        parts.clear()  # the run itself shows it all
        about |= _one_run(runs[0], report.sections[0]) | {"findings": one_run(report)}
    if report.comparison:
        about |= _comparison(report, report.comparison) | {"findings": of_comparison(report.comparison)}
    facts = [fact for fact in _facts(report, runs) if about["shown"] is None or not fact.big]  # of one run there is one
    drawn, troubles = figures.write(_charts(about), folder)
    about |= {"facts": facts, "contents": _contents(about), "troubles": troubles, **_title(report, runs)}
    page = folder / PAGE
    page.write_text(render("report.html", folder, about), encoding="utf-8")
    return Written(page, drawn, troubles)


def write_evaluation(found: dict[str, Any], answers: Answers, images: np.ndarray, folder: Path) -> Written:
    """Write evaluation.html and figures/ of one evaluation: `found` as in evaluation.json, images (N, C, H, W) uint8."""
    data, (low, high) = found["data"], found["interval"]
    places = onerun.most_confident(answers)
    shown = onerun.Shown(tuple(onerun.of_answers(answers)), onerun.pictures(answers, places, images[places]))
    facts = [
        Fact("accuracy", percent(found["accuracy"]), f"{points(low)} to {points(high)} for other images of this kind", big=True),
        *_with_tta(found),
        Fact("loss", f"{found['loss']:.4f}", big=True),
        Fact("calibration error", percent(found["calibration_error"]), big=True),
        Fact("images", f"{data['images']:,}", f"{data['variant']}, {data['part']}"),
        Fact("weights", found["checkpoint"], f"sha256 {found['sha256'][:16]}"),
        Fact("evaluated", found["evaluated"].replace("T", " ").replace("+00:00", " UTC")),
        Fact("run", found["run"], code=True, all=True),
    ]
    contents = [{"title": group.title, "anchor": group.anchor, "inside": []} for group in shown.groups]
    contents += [{"title": "Most confident mistakes", "anchor": "mistakes", "inside": []}] if shown.mistakes else []
    title = f"{data['variant']}, {data['part']}: {percent(found['accuracy'])} correct"
    drawn, troubles = figures.write((chart for group in shown.groups for chart in group.charts), folder)
    page = folder / EVALUATION
    about = {"shown": shown, "facts": facts, "contents": contents, "title": title, "troubles": troubles}
    page.write_text(render("evaluation.html", folder, about), encoding="utf-8")
    return Written(page, drawn, troubles)


def _with_tta(found: dict[str, Any]) -> list[Fact]:
    """Of an evaluation with test-time augmentation."""
    views = found.get("tta")
    return [Fact(f"accuracy with TTA ({views['name']})", percent(views["accuracy"]), big=True)] if views else []


def _part(analysis: Analysis, prefix: str) -> dict[str, Any]:
    """What the template of a section needs."""
    section, known = analysis.section, names(analysis.section)
    ranked = {id(one.cell): one for one in analysis.ranking}
    best = [one.cell for one in analysis.ranking]
    cells = best + [cell for cell in section.cells if not cell.finished] if best else []
    unfinished = [(cell, run) for cell in section.cells for run in cell.others]
    return {
        "analysis": analysis,
        "section": section,
        "prefix": prefix,
        "count": len(section.runs),
        "label": known,
        "value": lambda pair, cell: known.value(pair.factor, cell),
        "legend": list(known.legend.items()),
        "usual": list(known.usual.items()),
        "how_ranked": how_ranked(section) if len(best) > 1 else "",
        "networks": sorted({cell.model for cell in section.cells}),
        "alike": len({(cell.parameters, cell.macs) for cell in cells}) == 1,
        "ttas": sorted({str(run.record["tta"]) for cell in best for run in cell.finished if run.record.get("tta")}),
        "last_counts": any(cell.summary("test/accuracy") != cell.summary("test/accuracy_last") for cell in best),
        "pairs": analysis.effects.pairs[: LIMITS["pairs"]],
        "factors": [
            (
                name,
                _values(
                    [
                        shortened(show(value), WORD) if name not in known.values else known.values[name][show(value)]
                        for value in values
                    ]
                ),
            )
            for name, values in section.factors.items()
        ],
        "cells": [
            {
                "cell": cell,
                "ranked": ranked.get(id(cell)),
                "told": verdict_of(ranked[id(cell)]) if id(cell) in ranked else "",
                "unfinished": Counter(run.status for run in cell.others).most_common(),
            }
            for cell in cells[: LIMITS["cells"]]
        ],
        "more": len(cells) if len(cells) > LIMITS["cells"] else 0,
        "compares": len(best) > 1,
        "validates": any(cell.summary("val/accuracy") for cell in best[: LIMITS["cells"]]),
        "unfinished": unfinished[: LIMITS["unfinished"]],
        "unfinished_count": len(unfinished),
        "runs": [(cell, run) for cell in cells or section.cells for run in cell.runs][: LIMITS["runs"]],
        "groups": plots.groups(analysis, prefix),
    }


def _values(shown: list[str]) -> str:
    return ", ".join(shown[:12]) + (f", … ({len(shown)} values)" if len(shown) > 12 else "")


def _one_run(run: Run, section: Section) -> dict[str, Any]:
    record = run.record
    low_high = _interval(run)
    facts = [
        Fact("test accuracy", _percent(run, "test/accuracy"), low_high, big=True),
        Fact("test accuracy with TTA", _percent(run, "test/accuracy_tta"), f"evaluation.tta={run.record.get('tta')}", big=True),
        Fact("validation accuracy", _percent(run, "val/accuracy"), big=True),
        Fact("test accuracy, last weights", _percent(run, "test/accuracy_last"), big=True),
        Fact(
            "chosen epoch",
            str(run.best.get("epoch", "")),
            f"of {record.get('epochs')}, {CHOSEN.get(str(run.best.get('chosen_on')), 'the last one')}",
        ),
    ]
    facts.append(Fact("parameters", f"{run.parameters:,}", f"{large(run.macs)} multiply-adds per image" if run.macs else ""))
    facts.append(Fact("time", duration(total) if (total := run.timing.get("total")) else ""))
    provenance = {
        "folder": run.folder,
        "command": record.get("command") or "started from Python",
        "identity": run.identity,
        "data": f"{run.variant}, sha256 {run.data_hash}",
        "seed": run.seed,
        "protocol": run.protocol,
        "commit": "; ".join(filter(None, [run.commit or "an installed package", run.unverified])),
        "trained on": run.device,
        "started, ended": f"{record.get('started')}, {record.get('ended')}",
        "versions": ", ".join(f"{name} {version}" for name, version in (record.get("versions") or {}).items() if version),
    }
    return {
        "run": run,
        "shown": onerun.of_run(run),
        "part_notes": section.notes,
        "run_facts": [fact for fact in facts if fact.text] if run.counts else [],
        "provenance": list(provenance.items()),
        "config_rows": [(key, show(value)) for key, value in flatten(record["config"]).items()],
    }


def _percent(run: Run, metric: str) -> str:
    value = run.value(metric)
    return "" if value is None else percent(value)


def _interval(run: Run) -> str:
    """The 95% interval of one network's accuracy for other images of the same kind; of seeds it says nothing."""
    accuracy, images = run.value("test/accuracy"), run.test_images
    if accuracy is None or not images:
        return ""
    from scipy.stats import binomtest

    found = binomtest(round(accuracy * images), images).proportion_ci(0.95, method="wilson")
    return f"{points(found.low)} to {points(found.high)} for other images of this kind; another seed differs too"


def _comparison(report: Report, sides: Comparison) -> dict[str, Any]:
    rows, drawn = [], []
    everything = {**sides.differences, **({"accuracy on the same test images": sides.images} if sides.images else {})}
    for metric, found in everything.items():
        means = [None if (one := side.summary(metric)) is None else one.mean for side in (sides.first, sides.second)]
        p = found.p if found.adjusted is None else found.adjusted
        rows.append(
            {
                "metric": metric_name(metric),
                "first": typeset(number(metric, means[0])),
                "second": typeset(number(metric, means[1])),
                "mean": typeset(number(metric, found.mean, sign=True)),
                "interval": typeset(interval(metric, found.low, found.high, sign=True)),
                "p": p_value(p),
                "how": f"{found.how}, n = {found.n[0]} and {found.n[1]}",
                "told": "" if p is None else "yes" if found.resolved else "no",
            }
        )
        if is_share(metric):
            drawn.append((metric_name(metric), found))
    return {
        "comparison_rows": rows,
        "comparison_values": [(key, show(a), show(b)) for key, (a, b) in sides.values.items()],
        "comparison_chart": plots.differences(drawn) if drawn else None,
        "compared": plots.compared(report),
    }


def _places(report: Report) -> list[tuple[str, list[Claim], list[Table]]]:
    """Each table of the paper with the test accuracies that it prints, beside ours."""
    places = [table.name for table in report.tables]
    accuracies = [claim for claim in report.claims if claim.metric.startswith("test/accuracy")]

    def belongs(claim: Claim, name: str) -> bool:
        return claim.place == name or (name == "regularisation" and claim.place not in places)  # figures 1 to 4

    return [(table.name, [claim for claim in accuracies if belongs(claim, table.name)], [table]) for table in report.tables]


# --- the top of the page


def _title(report: Report, runs: list[Run]) -> dict[str, str]:
    if report.comparison:
        title = " against ".join(shortened(name, LINE) for name in report.comparison.short)
    elif len(runs) == 1:
        title = f"{runs[0].title}, seed {runs[0].seed}"
    else:
        title = f"What {len(runs):,} runs show" if runs else "Nothing measured"
    return {"title": title}


def _facts(report: Report, runs: list[Run]) -> list[Fact]:
    statuses = Counter(run.status for run in runs)
    other = ", ".join(f"{count} {status}" for status, count in statuses.most_common() if status != "finished")
    cells = sum(len(section.cells) for section in report.sections)
    facts = [
        Fact("finished runs", f"{statuses['finished']:,}", other, big=True),
        Fact("cells", f"{cells:,}", "configurations, each over its seeds", big=True),
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
    return "+: files had changed since that commit" if any(run.commit.endswith("+") for run in runs) else ""


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
        add("A against B", "comparison")
    if about["shown"]:
        inner = [(group.title, group.anchor) for group in about["shown"].groups]
        mistakes = [("Most confident mistakes", "mistakes")] if about["shown"].mistakes else []
        add("The run", "run", *inner, *mistakes, ("Provenance", "provenance"), ("Config", "config"))
    if about["budget"]:
        add("Accuracy at a budget", "budget")
    for part in about["parts"]:
        title = "All cells" if len(part["cells"]) > 1 else "The cell"
        inner = [(title, f"{part['prefix']}table")] if part["cells"] else []
        inner += [("Unfinished runs", f"{part['prefix']}unfinished")] if part["unfinished"] else []
        add(part["section"].title, part["section"].anchor, *inner, *((group.title, group.anchor) for group in part["groups"]))
    if about["measured"]:
        inner = [("Which is better", "paper-orders"), ("Figures 1 to 4", "paper-figures"), ("Its tables", "paper-tables")]
        add("The paper's numbers", "paper", *inner)
        add("What does not add up", "audit")
    else:
        add("The paper", "paper")
    if about["report"].problems:
        add("Left out", "problems")
    return found


def _charts(about: dict[str, Any]) -> list[Chart]:
    """Every chart of the page."""
    groups: list[Group] = [group for part in about["parts"] for group in part["groups"]]
    groups += about["shown"].groups if about["shown"] else ()
    groups += [about["compared"]] if about["compared"] else []
    found = [chart for group in groups for chart in group.charts]
    found += [about["budget"]] if about["budget"] else []
    found += [chart for figure in about["paper_figures"] for chart in figure.charts]
    return found + ([about["comparison_chart"]] if about.get("comparison_chart") else [])
