"""Text metrics against the libraries that LLaMA-Factory calls, with the formulas that it puts around them."""

from __future__ import annotations

import random

import pytest

from paddle_ground.evaluate.text import score_texts

TEXTS = [
    "我来到北京清华大学。我很喜欢这里！",
    "沙发上有两个枕头，枕头是白色的。",
    "The red cup is on the table, the blue cup is left of the cup.",
    "在桌子上 on the table",
    "a a a b",
    "Yes.",
    "no",
    "？",
    "  ",
    "",
]
WORDS = ["cup", "red", "the", "桌子", "在", "左边", "。", "on"]


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    chance = random.Random(0)
    drawn = [" ".join(chance.choices(WORDS, k=chance.randint(1, 12))) for _ in range(120)]
    return [(a, b) for a in TEXTS for b in TEXTS] + list(zip(drawn[::2], drawn[1::2], strict=True))


@pytest.mark.filterwarnings("ignore")
def test_bleu_is_nltks_over_characters(pairs: list[tuple[str, str]]) -> None:
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    smooth = bleu.SmoothingFunction().method3
    wanted = [100 * bleu.sentence_bleu([list(b)], list(a), smoothing_function=smooth) for a, b in pairs]
    found = score_texts(*zip(*pairs, strict=True))[:, 0]
    assert found.tolist() == pytest.approx(wanted, abs=1e-4)


def test_rouge_is_rouge_chineses_over_jiebas_words(pairs: list[tuple[str, str]]) -> None:
    jieba = pytest.importorskip("jieba")
    rouge = pytest.importorskip("rouge_chinese").Rouge()
    wanted = []
    for a, b in pairs:
        said, meant = (" ".join(jieba.cut(text)) for text in (a, b))
        if said.split() and meant.split():
            (scores,) = rouge.get_scores(said, meant)
            wanted += [100 * scores[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l")]
        else:
            wanted += [0.0] * 3
    found = score_texts(*zip(*pairs, strict=True))[:, 1:]
    assert found.reshape(-1).tolist() == pytest.approx(wanted, abs=1e-4)
    assert 0 < sum(value == 100 for value in found[:, 0]) < len(pairs)  # the case says something
