"""Values in a training YAML that its keys cannot have: text for a number, a word that nobody knows.

Takes the YAML's keys; gives each wrong value in words. Upstream symptom: PaddleFormers puts a YAML's values
into its dataclasses without a look at their types, and asks for many a word in one place only. So
`packing: "no"` packs, `freeze_config: freeze_visoin` freezes nothing, and `fine_tuning: lorra` trains every
weight, all in silence; a word for a number ends the run minutes after its start. Knows no other key's value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paddle_ground.train.config import known_types

# What YAML 1.1 takes for text: 1e-5, without a point, and 1.0e5, without a sign behind its e. The trainer
# dies in its first step, when it divides by it.
_NUMBER_AS_TEXT = re.compile(r"([-+]?\d+)(\.\d*)?([eE])([-+]?)(\d+)")
_OPTIONAL = re.compile(r"Optional\[(\w+)\]")
_EXPECTED = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "one text"}


@dataclass(frozen=True, slots=True)
class Words:
    """The words that a key may hold, as PaddleFormers' code asks for them.

    Attributes:
        known: All of them.
        instead: What PaddleFormers does with another one, where it does not refuse it.
        between: What parts several of them; none where there is one only.
        any_case: Whether `LoRA` is `lora`.
    """

    known: tuple[str, ...]
    instead: str = ""
    between: str | None = None
    any_case: bool = False

    def unknown(self, value: str) -> str | None:
        """Give the first word that is none of them."""
        words: list[str] = re.split(self.between, value) if self.between else [value]
        for word in filter(None, words):
            if (word.lower() if self.any_case else word) not in self.known:
                return word
        return None


_WHEN = Words(("no", "steps", "epoch"))
WORDS: Mapping[str, Words] = {
    "fine_tuning": Words(("lora", "full"), "trains every weight", any_case=True),
    "freeze_config": Words(
        ("freeze_vision", "freeze_aligner", "freeze_llm"), "freezes nothing for it", r"\W+"
    ),
    "stage": Words(("VL-SFT", "SFT", "VL-PT", "PT", "VL-DPO", "DPO")),
    "compute_type": Words(("bf16", "fp16", "float32", "wint4", "wint8", "wint4/8", "nf4")),
    "fp16_opt_level": Words(("O0", "O1", "O2")),
    "dataset_type": Words(("iterable", "map", "offline", "pretrain"), "takes it for iterable", any_case=True),
    "train_dataset_type": Words(("messages", "erniekit"), between=r"[\s,]+"),
    "eval_dataset_type": Words(("messages", "erniekit"), between=r"[\s,]+"),
    "template_backend": Words(("custom", "jinja"), "takes it for custom"),
    "_attn_implementation": Words(("flashmask", "sdpa", "eager")),
    "recompute_granularity": Words(
        ("full", "full_attn", "core_attn", "selective", "none"), "recomputes nothing"
    ),
    "sharding": Words(("stage1", "stage2", "stage3", "offload"), between=r"\s+"),
    "lr_scheduler_type": Words(("linear", "cosine", "constant", "constant_with_warmup", "polynomial")),
    "optim": Words(("adamw", "adafactor", "adamw_mini", "adamw_custom", "muon")),
    "evaluation_strategy": _WHEN,
    "save_strategy": _WHEN,
    "logging_strategy": _WHEN,
}


def value_problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find values that their keys cannot have.

    Args:
        values: The YAML's keys, without `grounding`. What is left empty is PaddleFormers' default.

    Yields:
        The key, and what is wrong with its remedy.
    """
    types = known_types()
    for key, value in values.items():
        if value is None or value == "":
            continue
        said = (
            _word_problem(key, value) if key in WORDS else _type_problem(types.get(key, frozenset()), value)
        )
        if said:
            yield key, said


def _word_problem(key: str, value: Any) -> str | None:
    words = WORDS[key]
    if value is False and "no" in words.known:
        return 'YAML reads no as false; write "no" with its quotes'
    unknown = words.unknown(value) if isinstance(value, str) else str(value)
    if unknown is None:
        return None
    near = difflib.get_close_matches(unknown, words.known, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    instead = f"; PaddleFormers {words.instead}, and says nothing" if words.instead else ""
    return f"{unknown!r} is unknown{meant}{instead}; expected {', '.join(words.known)}"


def _type_problem(names: frozenset[str], value: Any) -> str | None:
    kinds = {_OPTIONAL.sub(r"\1", name) for name in names}
    # Where a type is of another kind (lists, settings of their own), nothing is said.
    if not kinds or not kinds <= _EXPECTED.keys() or any(_is(kind, value) for kind in kinds):
        return None
    number = _NUMBER_AS_TEXT.fullmatch(value) if isinstance(value, str) and kinds & {"int", "float"} else None
    if number:
        whole, part, e, sign, exponent = number.groups()
        return f"YAML reads {value} as text; write {whole}{part or '.0'}{e}{sign or '+'}{exponent}"
    expected = " or ".join(_EXPECTED[kind] for kind in sorted(kinds))
    several = ", several of them with commas between" if "str" in kinds else ""
    return f"is {value!r}; expected {expected}{several}"


def _is(kind: str, value: Any) -> bool:
    """Tell whether PaddleFormers can work with a value of such a key."""
    if kind == "str":
        return not isinstance(value, list | dict)
    if kind == "bool":
        return isinstance(value, int)  # 0 and 1, too
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return kind == "float" or float(value).is_integer()
