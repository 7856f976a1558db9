"""The `web` command: flags in, a page out.

Takes the command line; calls `paddle_ground.web.run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def web_command(
    model: Annotated[
        Path | None, typer.Argument(help="Model folder; left out, the small one in data/.")
    ] = None,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="A page without one, about data and runs only.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder whose samples files may be opened in the page.")
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option("--runs", help="Folder of models; the page may start work that reads and writes in it."),
    ] = None,
    configs: Annotated[
        Path | None,
        typer.Option(
            "--configs",
            help="With --runs: training YAMLs are opened and saved here.  [default: configs, if it is there]",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="0.0.0.0 for everyone who can reach this machine: there is no key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 7860,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option("--dtype", help="Of the weights.")
    ] = "float32",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Answers under way at once.")] = 8,
    max_image_mb: Annotated[
        float, typer.Option("--max-image-mb", min=0.001, help="Of an image file.", metavar="MB")
    ] = 16.0,
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, help="Of a question's images.")
    ] = 40_000_000,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="For a whole answer.", metavar="SECONDS")
    ] = 300.0,
) -> None:
    """Open a page in the browser: find things in pictures, chat, look at samples.

    One program with the server's engine and its API; stopped by Ctrl-C. English and Chinese.

    \b
    Examples:
      paddle-ground web
      paddle-ground web runs/demo/train
      paddle-ground web runs/first --data data/coco --port 7861
      paddle-ground web --no-model --data data
      paddle-ground web runs/demo/train --data data --runs runs
    """
    from paddle_ground.errors import ConfigError
    from paddle_ground.infer import named_or_default
    from paddle_ground.serve.options import MEGABYTE, Limits
    from paddle_ground.serve.run import Address
    from paddle_ground.web.run import Folders, show

    limits = Limits(image_bytes=int(max_image_mb * MEGABYTE), pixels=max_pixels, seconds=timeout)
    usual = Path("configs")
    if configs is None and runs is not None and usual.is_dir():
        configs = usual
    folders = Folders(data, runs, configs)
    folders.check()
    if no_model and model is not None:
        raise ConfigError(f"{model}: a model and --no-model; leave one of them out")
    show(
        None if no_model else named_or_default(model, typer.echo),
        folders,
        Address(host, port),
        limits,
        batch=batch,
        dtype=dtype,
        say=typer.echo,
    )
