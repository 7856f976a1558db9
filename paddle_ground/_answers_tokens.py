"""Read grounding answers in box tokens: Qwen's, their older twins, and the same with tokens skipped.

Takes an answer's text, gives `Findings`. Understands

* ``<|object_ref_start|>cat<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>`` (Qwen2-VL and later),
* ``<ref>cat</ref><box>(1,2),(3,4)</box>`` (Qwen-VL; with ``[[1, 2, 3, 4]]`` inside: InternVL, ASMv2),
* ``<|ref|>cat<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>`` (DeepSeek-VL2),
* several boxes after one name, also as ``<1><2><3><4>`` (Rex-Omni),
* ``cat(1,2),(3,4), dog(...)``: what is left when a tokenizer skips special tokens.

Every pass over the text is linear. Knows nothing of coordinate ranges or JSON.
"""

from __future__ import annotations

import re

from paddle_ground._answers_found import Candidate, Findings, Repair, numbers_in

_MARKER = re.compile(
    r"<\|object_ref_start\|>|<\|object_ref_end\|>|<\|box_start\|>|<\|box_end\|>"
    r"|</?ref>|</?box>|</?pred>|<\|/?ref\|>|<\|/?det\|>|<img>[^<]{0,2000}</img>"
)
_MEANING = {
    "<|object_ref_start|>": "name",
    "<ref>": "name",
    "<|ref|>": "name",
    "<|object_ref_end|>": "name_end",
    "</ref>": "name_end",
    "<|/ref|>": "name_end",
    "<|box_start|>": "box",
    "<box>": "box",
    "<|det|>": "box",
    "<|box_end|>": "box_end",
    "</box>": "box_end",
    "<|/det|>": "box_end",
    "<pred>": "relation",
    "</pred>": "relation_end",
}
_CUT_MARKER = re.compile(r"</?[a-z]{0,4}$|<\|/?[a-z_]{0,16}\|?$")
_COORDINATE = r"\s{0,4}([-+]?\d{1,16}(?:\.\d{0,16})?)\s{0,4}"
_CORNERS = re.compile(
    rf"\({_COORDINATE}[,，]{_COORDINATE}\)\s{{0,4}}[,，]?\s{{0,4}}\({_COORDINATE}[,，]{_COORDINATE}\)"
)
_SEPARATORS = " \t\r\n,;.，；。、"


def looks_like_tokens(text: str) -> bool:
    """Say whether a text holds box tokens, or bare corner pairs that such an answer leaves behind."""
    return bool(_MARKER.search(text)) or bool(_CORNERS.search(text))


def scan_tokens(text: str) -> Findings:
    """Gather the boxes of a box-token answer.

    Args:
        text: The answer without end tokens.

    Returns:
        Candidates in text order and the repairs that reading needed.
    """
    if not _MARKER.search(text):
        return _scan_bare(text)
    text, is_cut = _without_cut_marker(text)
    walk = _MarkerWalk()
    position = 0
    for match in _MARKER.finditer(text):
        walk.text(text[position : match.start()])
        walk.marker(_MEANING.get(match.group(), "skip"))
        position = match.end()
    walk.text(text[position:])
    findings = walk.finish()
    if is_cut and Repair.TRUNCATED_TAIL_CLOSED not in findings.repairs:
        findings.repairs.add(Repair.TRUNCATED_TAIL_DROPPED)
    if not findings.candidates:
        bare = _scan_bare(_MARKER.sub("", text))
        if bare.candidates:
            bare.repairs.add(Repair.MARKER_MISSING)
            return bare
    return findings


def _without_cut_marker(text: str) -> tuple[str, bool]:
    """Take off ``<|box_en``: a marker that the text stops in says no more than that it stops."""
    tail_from = max(len(text) - 24, 0)
    cut = _CUT_MARKER.search(text, tail_from)
    return (text[: cut.start()], True) if cut else (text, False)


class _MarkerWalk:
    """State machine over markers and the text between them; one call an event, constant work each."""

    def __init__(self) -> None:
        self._found = Findings()
        self._inside = ""  # "name", "box", "relation" or "" outside of all
        self._piece = ""  # text since the last marker
        self._label = ""
        self._label_used = True  # has the current name got a box?
        self._is_relation = False  # the next boxes repeat objects to state a relation between them

    def text(self, piece: str) -> None:
        self._piece = piece
        if self._inside == "" and piece.strip(_SEPARATORS):
            self._found.repairs.add(Repair.PROSE_IGNORED)
            self._is_relation = False
            if self._label_used:  # "<ref>dog</ref> sits at <box>" still waits for its box
                self._label = ""

    def marker(self, meaning: str) -> None:
        if meaning == "name":
            self._close_open_box()
            self._end_name()
            self._is_relation = False
            self._inside = "name"
        elif meaning == "name_end":
            self._take_name()
        elif meaning == "box":
            if self._inside == "name":
                self._found.repairs.add(Repair.MARKER_MISSING)
                self._take_name()
            self._close_open_box()
            self._inside = "box"
        elif meaning == "box_end":
            self._take_box()
        elif meaning == "relation":
            self._close_open_box()
            self._end_name()
            self._is_relation = True
            self._inside = "relation"
        else:
            self._inside = ""

    def finish(self) -> Findings:
        if self._inside == "name" or (self._inside == "" and not self._label_used):
            self._found.repairs.add(Repair.TRUNCATED_TAIL_DROPPED)
        elif self._inside == "box":
            # Without its end token a box counts only if its own last bracket is there.
            is_whole = self._piece.rstrip()[-1:] in {")", "]", ">"} and len(numbers_in(self._piece)) >= 4
            self._found.repairs.add(
                Repair.TRUNCATED_TAIL_CLOSED if is_whole else Repair.TRUNCATED_TAIL_DROPPED
            )
            self._add(_groups(self._piece, is_cut=not is_whole))
        return self._found

    def _take_name(self) -> None:
        if self._inside != "name":
            self._found.repairs.add(Repair.MARKER_MISSING)
        self._label, self._label_used = self._piece.strip(), False
        self._inside = ""

    def _take_box(self) -> None:
        if self._inside == "box":
            self._add(_groups(self._piece))
        else:
            self._found.repairs.add(Repair.MARKER_MISSING)
        self._inside = ""

    def _close_open_box(self) -> None:
        """Read a box whose end token never came although another marker did."""
        if self._inside == "box":
            self._found.repairs.add(Repair.MARKER_MISSING)
            self._add(_groups(self._piece))
            self._inside = ""

    def _end_name(self) -> None:
        """Forget the current name: what follows does not belong to it."""
        if not self._label_used:
            self._found.repairs.add(Repair.MALFORMED_DROPPED)
        self._label, self._label_used = "", True

    def _add(self, groups: list[tuple[float, ...]]) -> None:
        if self._is_relation:
            return
        self._label_used = True
        for numbers in groups:
            if len(numbers) in (2, 4):
                self._found.candidates.append(Candidate(self._label, numbers))
            else:
                self._found.repairs.add(Repair.MALFORMED_DROPPED)


def _groups(piece: str, *, is_cut: bool = False) -> list[tuple[float, ...]]:
    """Split the inside of a box token pair into boxes of four numbers (or one point of two).

    Args:
        piece: ``(1,2),(3,4)``, ``[[1, 2, 3, 4], [5, 6, 7, 8]]`` or ``<1><2><3><4>,<5><6><7><8>``.
        is_cut: The text stops inside; what is not whole at its end is left out.

    Returns:
        Tuples of numbers; another length than two or four marks what can't be read.
    """
    if "[" in piece:
        lists = piece.split("]")
        numbers = [tuple(numbers_in(one)) for one in (lists[:-1] if is_cut else lists)]
        return [one for one in numbers if one] or ([] if is_cut else [()])
    flat = numbers_in(piece, may_be_cut=is_cut)
    if is_cut:
        flat = flat[: len(flat) // 4 * 4]
    elif len(flat) % 4:
        return [tuple(flat)]
    fours = [tuple(flat[start : start + 4]) for start in range(0, len(flat), 4)]
    return fours if fours or is_cut else [()]


def _scan_bare(text: str) -> Findings:
    """Read ``cat(1,2),(3,4), dog(5,6),(7,8)``: a name is whatever stands between two boxes."""
    found = Findings()
    position = 0
    for match in _CORNERS.finditer(text):
        label = text[position : match.start()].strip(_SEPARATORS)
        found.candidates.append(Candidate(label, tuple(float(group) for group in match.groups())))
        position = match.end()
    tail = text[position:]
    if found.candidates and tail.strip(_SEPARATORS):
        # After a comma or an open bracket the next object had begun; anything else is talk.
        is_cut = tail.lstrip().startswith(",") or "(" in tail
        found.repairs.add(Repair.TRUNCATED_TAIL_DROPPED if is_cut else Repair.PROSE_IGNORED)
    return found
