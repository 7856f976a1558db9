"""A configuration written over its own text: PyYAML reads what was wanted, and comments stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paddle_ground.web.train_yaml import edited

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SHIPPED = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.rglob("*.yaml")
    if "\ntrain_dataset_path:" in path.read_text()
)
keys = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**6), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12), st.sampled_from(["no", "1e-5", "0o7", "a: b", "# not a comment", "- x"]),
    st.lists(st.integers(0, 9), max_size=3), st.dictionaries(keys, st.integers(0, 9), max_size=3),
)  # fmt: skip


@given(st.dictionaries(keys, values, max_size=6), st.dictionaries(keys, values, max_size=6), st.booleans())
def test_what_is_written_is_what_was_wanted(
    before: dict[str, Any], wanted: dict[str, Any], style: bool
) -> None:
    text = "# head\n" + yaml.safe_dump(before, sort_keys=False, default_flow_style=style)
    read = yaml.safe_load(edited(text, wanted))
    assert read == wanted
    assert [type(read[key]) for key in wanted] == [type(value) for value in wanted.values()]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_does_not_change_stays_to_the_letter(name) -> None:
    text = (CONFIGS / name).read_text()
    assert edited(text, yaml.safe_load(text)) == text


def test_comments_stay_where_keys_change_come_and_go() -> None:
    text = (
        "# head\n\nfirst: 1  # of one\n\n### part\n# why\nsecond: a\nlist:\n- 1\n- 2\n# tail of it\n"
        "grounding:\n  deep: 4  # lost with its section\n# end\n"
    )
    wanted = {"first": 2, "list": [3], "grounding": {"deep": 5}, "new": 1e-5}
    assert edited(text, wanted) == (
        "# head\n\nfirst: 2  # of one\n\n### part\n# why\nlist:\n- 3\n# tail of it\n"
        "grounding:\n  deep: 5\n# end\nnew: 1.0e-05\n"
    )
