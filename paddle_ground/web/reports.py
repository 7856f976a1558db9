"""The reports of evaluations, given out by the page's own program.

Takes an application and the folder of runs; adds a route. Nothing else in that folder is given out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle_ground.errors import ConfigError
from paddle_ground.web.evaluation import FOLDER, REPORT, find_file


def add_reports(app: Any, runs: Path) -> None:
    """Let an application give out the reports of evaluations.

    Args:
        app: A FastAPI application.
        runs: Folder of the evaluations, its links resolved; nothing else of it is given out.
    """
    from starlette.responses import FileResponse, PlainTextResponse

    # In a world of its own: whatever a file there holds, it can't call the page that it came from.
    headers = {"content-security-policy": "sandbox allow-scripts allow-popups", "cache-control": "no-store"}

    def report(name: str) -> Any:
        try:
            return FileResponse(find_file(runs, name, REPORT), headers=headers, media_type="text/html")
        except ConfigError as error:
            return PlainTextResponse(str(error), 404)

    app.add_api_route(
        f"/{FOLDER}/{{name}}/report", report, methods=["GET"], include_in_schema=False, response_model=None
    )
