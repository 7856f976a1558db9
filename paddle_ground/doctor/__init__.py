"""Look a machine over: what is installed, what it has, what works, and how to mend what does not.

Takes nothing but this Python and this machine; gives findings. Imports neither Paddle nor any stage: what
must be tried is tried in a child process, so that what is broken becomes a line and not a traceback.
"""

from __future__ import annotations

from paddle_ground.doctor.findings import Finding, State

__all__ = ["Finding", "State", "examine"]


def examine(timeout: float) -> list[Finding]:
    """Look at everything.

    Args:
        timeout: Seconds that each try in a child process may take.

    Returns:
        Findings in the order in which they are read: packages, machine, tries.
    """
    from paddle_ground.doctor import machine, packages, tries

    found = [*packages.examine(), *machine.examine()]
    paddle_is_there = all(f.state is not State.BROKEN for f in found if f.name == "paddle")
    return [*found, *(tries.examine(timeout) if paddle_is_there else ())]
