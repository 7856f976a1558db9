"""Curves as SVG: whole, in their frame, and thinned without changing what they say."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np

from paddle_ground.train.curves import RunCurves, Series
from paddle_ground.web.train_charts import Line, chart, charts, thinned


def test_many_points_are_averaged_by_neighbours() -> None:
    values = np.random.default_rng(0).random(1500)
    points = thinned(Series(tuple(range(1500)), tuple(values)))
    assert len(points) == 300
    np.testing.assert_allclose([value for _, value in points], values.reshape(300, 5).mean(axis=1))
    assert [step for step, _ in points] == list(range(4, 1500, 5))


def test_lines_stay_in_their_frame_and_leave_out_what_is_no_number() -> None:
    steps = tuple(range(1, 6))
    lines = (
        Line("a <b>", Series(steps, (5.0, math.nan, 1e9, -3.0, 0.0)), "c0"),
        Line("none", Series((), ()), "c1"),
        Line("flat", Series((2,), (7.0,)), "c2"),
    )
    svg = ET.fromstring(f"<div>{chart(lines, 'x < y')}</div>")
    drawn = svg.findall(".//polyline")
    assert len(drawn) == 2
    assert len(drawn[0].attrib["points"].split()) == 4
    _, _, width, height = map(float, svg.find("svg").attrib["viewBox"].split())
    for line in drawn:
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    assert [span.text.split()[0] for span in svg.findall(".//span")] == ["a", "flat"]


def test_a_chart_each_for_what_was_logged(tmp_path) -> None:
    found = {"loss": Series((1, 2), (3.0, 2.0)), "eval_f1": Series((2,), (0.5,))}
    html = charts(RunCurves(tmp_path, found), lambda key: key)
    assert [node.text for node in ET.fromstring(html).findall(".//figcaption")] == [
        "chart_loss",
        "chart_metrics",
    ]
    assert charts(RunCurves(tmp_path, {}), lambda key: key) == '<div class="charts"></div>'
