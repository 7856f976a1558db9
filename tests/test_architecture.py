"""The house, kept as drawn: who may import whom, who owns what, and what stays out of the tree.

Read from the source with `ast`, so that it holds for lines that no test runs.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "paddle_ground"
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

FOUNDATION = ("errors", "files", "resize", "families", "boxes", "spaces", "records", "answers", "prompts")
# A stage may import itself, the foundation, and what this table names. Data flows one way, so every
# stage's list is a part of the ones before it; `backend` serves the two stages that run a model.
STAGES = {
    "data": (),
    "backend": (),
    "train": ("data", "backend"),
    "infer": ("data", "backend", "train"),
    "export": ("data", "backend", "train"),
    "evaluate": ("data", "infer"),
    "view": ("data", "infer", "evaluate"),
    "serve": ("data", "infer", "evaluate", "view"),
    "web": ("data", "train", "infer", "evaluate", "view", "serve"),
}
# These tie stages together and are imported by nobody.
DOORS = ("cli", "__main__", "demo", "watch", "doctor")
HEAVY = {"paddle", "paddleformers", "paddlefleet", "visualdl", "transformers", "torch"}
SLOW = HEAVY | {"pandas", "matplotlib", "pyarrow", "datasets", "faster_coco_eval", "sklearn", "scipy"}


def part_of(module: str) -> str:
    """Name the part of the house that a module lives in: paddle_ground.data.synth -> data."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def parts_allowed(part: str) -> set[str]:
    """Name every part that a part may import."""
    if part in DOORS:
        return {*FOUNDATION, *STAGES, *DOORS, ""}
    if part in STAGES:
        return {part, *FOUNDATION, *STAGES[part], ""}
    if part.startswith("_"):  # private helpers of answers.py
        return {"answers", "errors", "boxes", part, ""} | {p for p in map(part_of, SOURCES) if p[:1] == "_"}
    # The foundation: each layer sees the ones below it; answers.py its own private helpers as well.
    below = set(FOUNDATION[: FOUNDATION.index(part) + 1])
    if part in ("answers", "prompts"):
        below |= {p for p in map(part_of, SOURCES) if p.startswith(f"_{part}")}
    return below | {""}


def is_type_checking(node: ast.AST) -> bool:
    """Whether a node is an `if TYPE_CHECKING:` block, which never runs."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def walk(node: ast.AST, into_functions: bool) -> Iterator[ast.AST]:
    """Walk the nodes that run: at import only, or later too; never those for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        if not into_functions and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield child
        yield from walk(child, into_functions)


def imports(module: str, into_functions: bool) -> list[tuple[int, str]]:
    """List (line, full module name) of what a module of ours imports."""
    found = []
    for node in walk(ast.parse(SOURCES[module].read_text()), into_functions):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module if SOURCES[module].name == "__init__.py" else module.rpartition(".")[0]
                package = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                base = f"{package}.{base}".rstrip(".")
            # `from paddle_ground import boxes` imports a module, not a name of the package.
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.append((node.lineno, full if full in SOURCES else base))
    return found


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """List (line, text) of the strings in a file, those of bytes too, docstrings left out."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            yield node.lineno, text.replace("\\|", "|")  # as patterns write it


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_what_stands_before_it(module):
    part = part_of(module)
    known = {"", *FOUNDATION, *STAGES, *DOORS} | {p for p in map(part_of, SOURCES) if p.startswith("_")}
    assert part in known, f"{SOURCES[module]}: a new part of the house; draw it into this test and the README"
    wrong = [
        f"{SOURCES[module].relative_to(ROOT)}:{line} imports {name}"
        for line, name in imports(module, into_functions=True)
        if name.split(".")[0] == "paddle_ground"
        and part_of(name) not in (parts_allowed(part) if part else {""})
    ]
    # The package itself hands out the public names at first use, by name and not by import.
    assert not wrong


@pytest.mark.parametrize("module", [m for m in SOURCES if part_of(m) != "backend"])
def test_no_heavy_import_at_module_level_outside_the_backend(module):
    heavy = [
        f"{SOURCES[module].relative_to(ROOT)}:{line} {name}"
        for line, name in imports(module, into_functions=False)
        if name.split(".")[0] in HEAVY
    ]
    assert not heavy, "import it inside the function that needs it"


def test_modules_do_not_import_each_other_in_circles():
    graph = {
        module: {name for _, name in imports(module, into_functions=False) if name in SOURCES} - {module}
        for module in SOURCES
    }
    while graph:  # take away what depends on nothing that is left; what never goes is a circle
        free = {module for module, needs in graph.items() if not needs & graph.keys()}
        assert free, f"circle among {sorted(graph)}"
        graph = {module: needs for module, needs in graph.items() if module not in free}


def modules_loaded_by(*command: str) -> set[str]:
    """Run Python code or a module in a new process and name the top-level modules it loaded."""
    script = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print('\\n' + json.dumps(sorted({m.split('.')[0] for m in sys.modules}))))\n"
        + "\n".join(command)
    )
    run = subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=120
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_importing_the_package_is_light():
    loaded = modules_loaded_by("import paddle_ground")
    assert "paddle_ground" in loaded
    assert not loaded & (SLOW | {"numpy", "PIL"})


def test_help_loads_no_stage_and_no_heavy_library():
    loaded = modules_loaded_by(
        "sys.argv = ['paddle-ground', '--help']", "from paddle_ground.cli import main", "main()"
    )
    assert "typer" in loaded
    assert not loaded & (SLOW | {"numpy", "PIL"})


def test_every_stage_but_the_backend_imports_without_paddle():
    modules = [m for m in SOURCES if part_of(m) != "backend" and not m.endswith("__main__")]
    loaded = modules_loaded_by("import importlib", *[f"importlib.import_module({m!r})" for m in modules])
    assert {"paddle_ground", "numpy"} <= loaded
    assert not loaded & HEAVY


# What only one module may know, and a piece of text that gives the knowledge away.
OWNED_TEXTS = [
    (r"<\|(box|object_ref)_(start|end)\|>", r"(_?answers.*|backend\.tokenizer)", "the tokens around a box"),
    # The tiny model's tokenizer learns the answer's words as well.
    (r"\bbbox_2d\b", r"(_?answers.*|prompts|backend\.tokenizer)", "the JSON answer's key"),
    # records.samples checks their number; prompts and data.classes refuse names that hold one.
    (
        r"<(ref-object|bbox)>",
        r"(_?answers.*|records\.samples|prompts|data\.classes)",
        "PaddleFormers' placeholders",
    ),
]


@pytest.mark.parametrize(("pattern", "owners", "what"), OWNED_TEXTS)
def test_a_format_is_spelled_out_by_its_owner_only(pattern, owners, what):
    spelled = [
        (module.removeprefix("paddle_ground."), f"{path.relative_to(ROOT)}:{line}")
        for module, path in SOURCES.items()
        for line, text in texts(path)
        if re.search(pattern, text)
    ]
    assert any(re.fullmatch(owners, module) for module, _ in spelled), (
        f"nobody spells out {what}: mend this test"
    )
    strays = [where for module, where in spelled if not re.fullmatch(owners, module)]
    assert not strays, f"{what} belong to {owners}"


def test_box_arithmetic_is_defined_in_boxes_only():
    defined = {
        (part_of(module), node.name)
        for module, path in SOURCES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and re.search(r"(^|_)iou(_|$)|xywh_to|xyxy_to", node.name)
    }
    assert ("boxes", "iou_matrix") in defined
    assert {part for part, _ in defined} == {"boxes"}


def foreign_names(tree: ast.AST) -> set[str]:
    """Name what a file binds by importing Paddle's packages."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname or a.name.split(".")[0] for a in node.names if a.name.split(".")[0] in HEAVY}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in HEAVY:
            names |= {a.asname or a.name for a in node.names}
    return names


def patches(path: Path) -> list[str]:
    """List where a file sets an attribute of something that it imported from Paddle's packages."""
    tree = ast.parse(path.read_text())
    foreign = foreign_names(tree)
    found = []
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = [target for target in node.targets if isinstance(target, ast.Attribute)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            targets = node.args[:1]
        for target in targets:
            while isinstance(target, ast.Attribute):
                target = target.value
            if isinstance(target, ast.Name) and target.id in foreign:
                found.append(f"{path.name}:{node.lineno}")
    return found


def test_paddle_is_patched_in_the_backend_only():
    patched = {module: places for module, path in SOURCES.items() if (places := patches(path))}
    assert patched, "the backend patches nothing that this test can see: mend this test"
    assert {part_of(module) for module in patched} == {"backend"}, patched


def test_public_names_are_sorted_and_can_be_imported():
    package = importlib.import_module("paddle_ground")
    assert package.__all__ == sorted(package.__all__)
    assert set(package._HOMES) | {"__version__"} == set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018


@pytest.mark.parametrize("path", SOURCES.values(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_small_and_opens_by_saying_what_it_is(path):
    source = path.read_text()
    assert path.stem not in {"utils", "util", "common", "helpers", "misc"}, "name it after what it does"
    assert len(source.splitlines()) < 300
    opening = ast.get_docstring(ast.parse(source)) or ""
    assert opening.strip(), "open with what it takes, gives and does not know"


@pytest.mark.parametrize("module", SOURCES)
def test_nothing_that_runs_data_as_code(module):
    names = {name.split(".")[0] for _, name in imports(module, into_functions=True)}
    assert not names & {"pickle", "cPickle", "dill", "marshal", "shelve", "cloudpickle"}
    called = {
        node.func.id
        for node in ast.walk(ast.parse(SOURCES[module].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"eval", "exec"}


# Written in pieces, so that this file does not hold what it forbids.
MACHINE_PATH = r"(^|[^[:alnum:]_.~/-])/" + r"(tmp|work|root|opt/pypi)(/|$|[^[:alnum:]_-])"
REGISTRY_HOST = "|".join(["pypi" + r"\.org", "python" + "hosted", "npm" + r"js\.org", "deb" + r"\.debian"])


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["machine path", "registry host"])
def test_no_machine_is_named_in_a_tracked_file(pattern):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern], check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ).stdout
    assert not found
