"""The `serve` command: flags in, a server out.

Takes the command line; calls `paddle_ground.serve.run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

WHERE, WHO, HOW_MUCH, IMAGES = "Where", "Who", "How much", "Images from elsewhere"


def _flag(name: str, text: str, panel: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel, metavar=metavar, **more)


def serve_command(
    model: Annotated[
        Path | None,
        typer.Argument(help="Model folder, with safetensors; left out, the small one in data/."),
    ] = None,
    host: Annotated[
        str, _flag("--host", "0.0.0.0 for everyone who can reach this machine.", WHERE)
    ] = "127.0.0.1",
    port: Annotated[int, _flag("--port", "0: any that is free.", WHERE, min=0, max=65535)] = 8000,
    model_name: Annotated[
        str | None,
        _flag("--model-name", "What clients call it.  [default: the folder's name]", WHERE, "NAME"),
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], _flag("--dtype", "Of the weights.", WHERE)
    ] = "float32",
    api_key: Annotated[
        str | None,
        _flag(
            "--api-key",
            "What clients must show; better in the variable.",
            WHO,
            "KEY",
            envvar="PADDLE_GROUND_API_KEY",
            show_envvar=True,
        ),
    ] = None,
    batch: Annotated[int, _flag("--batch", "Answers under way at once.", HOW_MUCH, min=1)] = 16,
    max_queue: Annotated[int, _flag("--max-queue", "Questions that may wait besides.", HOW_MUCH, min=0)] = 64,
    timeout: Annotated[
        float, _flag("--timeout", "For a whole answer, waiting included.", HOW_MUCH, "SECONDS", min=0.1)
    ] = 300.0,
    max_context: Annotated[
        int | None,
        _flag(
            "--max-context",
            "Tokens of question and answer.  [default: the model's, up to 16384]",
            HOW_MUCH,
            min=16,
        ),
    ] = None,
    max_body_mb: Annotated[float, _flag("--max-body-mb", "Of a request.", HOW_MUCH, "MB", min=0.001)] = 32.0,
    max_image_mb: Annotated[
        float, _flag("--max-image-mb", "Of an image file.", HOW_MUCH, "MB", min=0.001)
    ] = 16.0,
    max_pixels: Annotated[int, _flag("--max-pixels", "Of a request's images.", HOW_MUCH, min=1)] = 40_000_000,
    allow_url_hosts: Annotated[
        str | None,
        _flag(
            "--allow-url-hosts",
            "Fetch images from these: a.org,*.b.org,c.org:8080; never from private addresses.",
            IMAGES,
            "HOSTS",
        ),
    ] = None,
    allow_local: Annotated[
        Path | None, _flag("--allow-local", "Folder whose images may be named by path.", IMAGES, "DIR")
    ] = None,
) -> None:
    """Serve a model to OpenAI's clients, and to `/v1/ground`.

    Answers many clients at once. Stopped by Ctrl-C or SIGTERM, it finishes what runs.

    \b
    Examples:
      paddle-ground serve
      paddle-ground serve runs/demo/train
      paddle-ground serve runs/first --port 9000 --allow-local data/coco/images --batch 32
      PADDLE_GROUND_API_KEY=... paddle-ground serve runs/first --host 0.0.0.0
    """
    from paddle_ground.infer import named_or_default
    from paddle_ground.serve.options import MEGABYTE, Limits, ServeOptions
    from paddle_ground.serve.run import Address, serve

    limits = Limits(
        body_bytes=int(max_body_mb * MEGABYTE),
        image_bytes=int(max_image_mb * MEGABYTE),
        pixels=max_pixels,
        seconds=timeout,
    )
    folder = named_or_default(model, typer.echo)
    hosts = tuple(name for name in (allow_url_hosts or "").replace(" ", "").split(",") if name)
    options = ServeOptions(model_name or folder.resolve().name, api_key, hosts, allow_local, limits)
    serve(
        folder, options, Address(host, port), batch=batch, max_queue=max_queue, max_context=max_context,
        dtype=dtype, say=typer.echo,
    )  # fmt: skip
