"""The house keeps its shape: who imports whom, how large a thing may be, that public names are typed and data sets unnamed.

`make lint` runs the same contracts of imports; here they are shown to fail where they should.
"""

import ast
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

PACKAGES = ("data_prep", "tfunc", "launch")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULE, CLASS, FUNCTION = 300, 200, 50  # the most lines of each
LONGER = {}  # "path:name" -> why it reads better so; BUILD_NOTES.md says it too


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def lines_of(node):
    return node.end_lineno - node.lineno + 1


@pytest.mark.long
def test_nothing_is_too_long():
    """No module over 300 lines, no class over 200, no function over 50."""
    found = {}
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if (count := len(text.splitlines())) > MODULE:
            found[name_of(path)] = count
        for node in ast.walk(ast.parse(text)):
            most = {ast.ClassDef: CLASS, ast.FunctionDef: FUNCTION}.get(type(node))
            if most and lines_of(node) > most:
                found[f"{name_of(path)}:{node.name}"] = lines_of(node)
    notes = (ROOT / "BUILD_NOTES.md").read_text(encoding="utf-8")
    assert set(found) == set(LONGER), found
    assert all(name in notes for name in LONGER)


def public(body):
    """(name, function) of all that a module offers: functions and methods without an underscore, and constructors."""
    for node in body:
        if isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from ((f"{node.name}.{name}", function) for name, function in public(node.body))


def only_named(function):
    """Whether a function has no body: in a protocol, whose docstring explains it."""
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in function.body)


def untyped(function):
    """Whether an argument or the result of a function has no annotation."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    named = [argument for argument in named if argument is not None and argument.arg not in ("self", "cls")]
    result = function.returns is None and function.name != "__init__"
    return result or any(argument.annotation is None for argument in named)


def test_public_names_are_typed():
    """Every argument and result of every public function and method has a type; `make lint` checks that they hold."""
    found = [
        f"{name_of(path)}:{name}"
        for path in MODULES
        for name, function in public(ast.parse(path.read_text(encoding="utf-8")).body)
        if untyped(function)
    ]
    assert not found


def test_public_names_are_explained():
    """Every public function and method has a docstring.

    But for constructors, whose class has it, `main`, Keras' own `call`, and what a protocol only names.
    """
    found = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), name_of(path)
        for name, function in public(tree.body):
            if (
                ast.get_docstring(function) is None
                and name.split(".")[-1] not in ("__init__", "main", "call")
                and not only_named(function)
            ):
                found.append(f"{name_of(path)}:{name}")
    assert not found


def test_rooms_say_what_they_are_for():
    """Every package's `__init__.py` says so in at most three lines of text."""
    for path in (path for path in MODULES if path.name == "__init__.py"):
        lines = [line for line in ast.get_docstring(ast.parse(path.read_text())).splitlines() if line]
        assert 1 <= len(lines) <= 3, name_of(path)


def test_data_sets_are_known_by_their_task_only():
    """tfunc and the launchers name no data set, but for the paper's values and the flags that take a name."""
    found = {}
    for path in MODULES:
        if name_of(path).split("/")[0] in ("tfunc", "launch") and name_of(path) != "tfunc/paper.py":
            for line in path.read_text(encoding="utf-8").splitlines():
                if re.search(r'"(brats|isic)"', line) and "flags.DEFINE" not in line:
                    found.setdefault(name_of(path), []).append(line.strip())
    assert not found


@pytest.fixture
def linted(tmp_path):
    """linted({path: line to add}) -> what import-linter says of a copy of the project with that line added."""
    if importlib.util.find_spec("importlinter") is None:
        pytest.skip("import-linter is not installed: the extra [lint]")

    def lint(changes):
        for package in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored, dirs_exist_ok=True)
        shutil.copy(ROOT / "setup.cfg", tmp_path)
        for name, line in changes.items():
            path = tmp_path / name
            path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
        program = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
        # -P would be shorter, but Python 3.10 has none: the copy must come first, before the project itself
        start = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}"
        return subprocess.run([sys.executable, "-c", start], cwd=tmp_path, capture_output=True, text=True)

    return lint


def test_imports_go_down(linted):
    """The project as it is keeps every contract."""
    ended = linted({})
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("data_prep/subject.py", "import tfunc.runs"),
        ("data_prep/base/errors.py", "from data_prep import records"),
        ("tfunc/nets/unet.py", "from tfunc.learning import losses"),
        ("tfunc/maps/predict.py", "from tfunc.reporting import report"),
        ("tfunc/scoring/metrics.py", "from tfunc.nets import layers"),
        ("tfunc/scoring/metrics.py", "import tensorflow"),
        ("tfunc/runs.py", "from launch import program"),
    ],
)
def test_an_import_upwards_or_sideways_fails(linted, path, line):
    """One deliberate import against each floor breaks a contract, which names both modules."""
    ended = linted({path: line})
    assert ended.returncode == 1
    assert path.removesuffix(".py").replace("/", ".") in ended.stdout.replace("\n", "")


def test_every_module_stands_in_a_room():
    """tfunc has tables and rooms, and nothing else lies flat in it; a room holds modules, no rooms of its own but page/."""
    flat = {path.stem for path in (ROOT / "tfunc").glob("*.py")} - {"__init__", "__main__"}
    assert flat <= {"methods", "networks", "kinds", "paper", "runs", "former", "metrics", "shapes"}
    depth = max(len(pathlib.PurePath(name_of(path)).parts) for path in MODULES)
    assert depth <= 4  # package/room/module, and learning/objectives/
