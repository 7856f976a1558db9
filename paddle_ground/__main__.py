"""`python -m paddle_ground`: the same door as the `paddle-ground` command."""

from __future__ import annotations

from paddle_ground.cli import main

if __name__ == "__main__":
    main()
