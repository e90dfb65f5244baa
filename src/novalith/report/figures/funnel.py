"""The funnel as a figure: what came into each stage and which share of it went on."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from novalith.campaign.record import FunnelStage
from novalith.report.figures import svg

WIDTH, ROW, TOP = 880, 30, 34
_BAR_START, _BAR_END = 350.0, 760.0


def funnel_figure(stages: Sequence[FunnelStage]) -> Markup:
    """One bar a stage, all as long: the dark part went on, the pale part stopped there; counts stand beside it."""
    marks = [
        svg.text((270, 18), "came in", anchor="end", fill=svg.MUTED),
        svg.text((334, 18), "stopped", anchor="end", fill=svg.MUTED),
        svg.text((_BAR_START, 18), "share that went on", fill=svg.MUTED),
        svg.text((WIDTH - 8, 18), "went on", anchor="end", fill=svg.MUTED),
    ]
    for i, stage in enumerate(stages):
        marks += _row(stage, TOP + i * ROW)
    return svg.figure(WIDTH, TOP + ROW * len(stages) + 4, "Candidates kept and stopped at each stage", *marks)


def _row(stage: FunnelStage, top: float) -> list[Markup]:
    length = _BAR_END - _BAR_START
    share = stage.kept / stage.entered if stage.entered else 0.0
    middle = top + 15
    marks = [
        svg.text((4, middle), stage.name, bold=True),
        svg.text((270, middle), f"{stage.entered:,}", anchor="end"),
        svg.text((334, middle), f"{stage.entered - stage.kept:,}", anchor="end", fill=svg.MUTED),
        svg.text((WIDTH - 8, middle), f"{stage.kept:,}", anchor="end", bold=True),
    ]
    if stage.entered:
        marks.append(svg.rect((_BAR_START, top + 3), (length, 16), "#dfe7ee"))
        marks.append(svg.rect((_BAR_START, top + 3), (length * share, 16), svg.BLUE))
        marks.append(svg.text((_BAR_END + 10, middle), f"{100 * share:.0f} %", fill=svg.MUTED))
    else:
        marks.append(svg.text((_BAR_START, middle), "nothing came in", fill=svg.MUTED))
    return marks
