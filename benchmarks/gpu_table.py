"""The results of benchmarks.gpu as Markdown tables, and one line for each as it comes."""

from __future__ import annotations

from typing import Any

Items = list[dict[str, Any]]


def one_line(item: dict[str, Any]) -> str:
    """What a measurement says, in a few words."""
    if "error" in item:
        return f"failed: {item['error'][:200]}"
    kind = item["kind"]
    if kind == "peak":
        return "  ".join(f"{name} {item[f'{name}_tflops']['median']:,.0f} TFLOP/s" for name in ("bf16", "tf32", "fp32"))
    if kind == "share":
        return (
            f"{_share(item['share_steps'])} of {item['bare_images_per_second']['median']:,.0f} images/s, with epoch ends "
            f"{_share(item['share_epochs'])}"
        )
    if kind == "synchronisations":
        return f"{sum(item['elsewhere'].values())} between readings, {sum(item['at_readings'].values())} at them"
    if kind == "profile":
        return f"device busy {item['device_busy_share']:.0%}, {item['kernels_per_step']:.0f} kernels a step"
    if kind == "training":
        return f"test accuracy {item['metrics']['test/accuracy']:.2%} on {item['data']['variant']}"
    return f"{_speed(item['images_per_second'])} images/s"


def table(result: dict[str, Any]) -> str:
    """All tables of a file that benchmarks.gpu has written."""
    items = [item for item in result["items"].values() if "error" not in item]
    by_kind = {kind: [item for item in items if item["kind"] == kind] for kind in {item["kind"] for item in items}}
    peak = by_kind.get("peak", [{}])[0]
    parts = [_heading(result["about"], peak)]
    for kind, make in (("share", _shares), ("throughput", lambda rows: _throughput(rows, peak)), ("loader", _loaders)):
        if kind in by_kind:
            parts.append(make(by_kind[kind]))
    for kind, make in (("synchronisations", _synchronisations), ("profile", _profile), ("training", _training)):
        parts += [make(item) for item in by_kind.get(kind, [])]
    return "\n\n".join(parts)


def _heading(about: dict[str, Any], peak: dict[str, Any]) -> str:
    versions, hardware = about["versions"], about["hardware"]
    text = (
        f"{about['device'][0]}, {hardware['cores']} CPU cores ({hardware['cpu']}); torch {versions['torch']}, "
        f"CUDA {versions['cuda']}, Lightning {versions['lightning']}; commit {(about['commit'] or 'unknown')[:10]}; "
        f"data: {about['data']}."
    )
    if about["smoke"]:
        text = "A rehearsal with a tiny network: these numbers say nothing. " + text
    if peak:
        stated = peak.get("stated_bf16_tflops")
        text += (
            f" Matrix products of {peak['size']:,} squared random numbers: {peak['bf16_tflops']['median']:,.0f} TFLOP/s in bf16"
            f"{f' (data sheet {stated:,.0f})' if stated else ''}, {peak['tf32_tflops']['median']:,.0f} in TF32, "
            f"{peak['fp32_tflops']['median']:,.0f} in float32; a copy moves {peak['copy_gb_per_second']['median']:,.0f} GB/s."
        )
    return text


def _shares(items: Items) -> str:
    rows = [
        [
            *_setting(item),
            _speed(item["bare_images_per_second"]),
            _share(item["share_steps"]),
            _share(item["share_epochs"]),
            f"{1000 * item['epoch_end_seconds']['median']:,.0f}",
            _speed(item["evaluation_images_per_second"]),
        ]
        for item in items
    ]
    head = ["model", "batch", "precision", "compile", "bare loop, images/s", "framework, steps", "with epoch ends"]
    return _markdown([*head, "an epoch's end, ms", "evaluation, images/s"], rows)


def _throughput(items: Items, peak: dict[str, Any]) -> str:
    rows = []
    for item in sorted(
        items, key=lambda i: (i["model"], i["precision"], i["tf32"], i["search"], str(i["compile"]), i["batch_size"])
    ):
        model, batch, precision, compiled = _setting(item)
        if item["precision"] == "32-true":
            precision += ", TF32" if item["tf32"] else ", no TF32"
        share = item["tflops"] / peak["bf16_tflops"]["median"] if peak else None
        rows.append(
            [
                model,
                batch,
                precision,
                compiled + (", cudnn.benchmark" if item["search"] else ""),
                _speed(item["images_per_second"]),
                f"{item['ms_per_step']:.2f}",
                f"{item['tflops']:,.0f}",
                "" if share is None else f"{share:.0%}",
                f"{item['peak_memory_gib']:.1f}" if "peak_memory_gib" in item else "",
                f"{item['first_step_seconds']:.1f}",
            ]
        )
    head = [
        "model",
        "batch",
        "precision",
        "compile",
        "images/s",
        "ms a step",
        "TFLOP/s",
        "of bf16 peak",
        "memory, GiB",
        "first step, s",
    ]
    return _markdown(head, rows)


def _loaders(items: Items) -> str:
    rows = [[str(item["batch_size"]), item["augment"], _speed(item["images_per_second"])] for item in items]
    return _markdown(["batch", "augment", "loader alone, images/s"], rows)


def _synchronisations(item: dict[str, Any]) -> str:
    lines = [f"Synchronisations in {item['steps']} steps ({', '.join(_setting(item))}):"]
    for name, places in (("where loss and accuracy are read", item["at_readings"]), ("elsewhere", item["elsewhere"])):
        lines.append(f"- {name}: " + ("; ".join(f"{count} x `{place}`" for place, count in places.items()) or "none"))
    return "\n".join(lines)


def _profile(item: dict[str, Any]) -> str:
    calls = "; ".join(f"{name} {count:.2f}" for name, count in item["calls_per_step"].items())
    return (
        f"A step of the framework under the profiler ({', '.join(_setting(item))}): {item['ms_per_step']:.2f} ms, "
        f"the device busy {item['device_busy_share']:.0%}, {item['kernels_per_step']:.0f} kernels. "
        f"Calls a step: {calls or 'none'}."
    )


def _training(item: dict[str, Any]) -> str:
    timing = item["timing"]
    return (
        f"`{' '.join(item['words'])}` on {item['data']['variant']}: test accuracy {item['metrics']['test/accuracy']:.2%} after "
        f"{item['epochs']} epochs (seed {item['seed']}), {timing['total']:.0f} s in all, of which compiling "
        f"{timing.get('compile', 0):.0f} s, evaluation {timing['evaluation']:.1f} s, checkpoints {timing['checkpoint']:.1f} s."
    )


def _setting(item: dict[str, Any]) -> list[str]:
    return [item["model"], str(item["batch_size"]), item["precision"], item["compile"] or "eager"]


def _speed(values: dict[str, float]) -> str:
    return f"{values['median']:,.0f} ({values['least']:,.0f} to {values['greatest']:,.0f})"


def _share(values: dict[str, float]) -> str:
    return f"{values['median']:.1%} ({values['least']:.1%} to {values['greatest']:.1%})"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
