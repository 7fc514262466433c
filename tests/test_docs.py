"""The documents agree with the programs: their commands parse, their marks hold, their flags and counts are those of the code."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import documents
import pytest
from conftest import ROOT

from tfunc import methods
from tfunc.scoring.aggregate import AGGREGATORS

LAUNCHERS = sorted(path.stem for path in (ROOT / "launch").glob("*.py") if "program.run(main)" in path.read_text())
BLOCKS = [block for page in documents.PAGES for block in documents.blocks(page)]
# what a machine may have that is none of ours
OTHERS = {
    "pip",
    "docker",
    "curl",
    "sbatch",
    "dask",
    "source",
    "echo",
    "base64",
    "tr",
    "tensorboard",
    "wc",
    "sleep",
    "id",
    "cp",
    "mkdir",
    "ls",
}
WORDS = {"until", "do", "done", "while", "for", "[", "exit", "if", "then", "fi", "cd", "export"}  # the shell's own
NUMBERS = dict(
    zip(["five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"], range(5, 14), strict=True)
)
THEIRS = {  # their flags
    "tensorboard": {"logdir"},
    "Docker": {"build", "tag", "rm", "user", "volume", "gpus"},
    "Slurm": {"array", "gres", "requeue"},
    "OpenVINO": {"output_model", "compress_to_fp16", "opt_out", "model_name", "model_path", "port", "rest_port"},
    "TensorFlow Serving": {
        "rest_api_timeout_in_ms",
        "model_config_file",
        "enable_batching",
        "batching_parameters_file",
    },
    "saved_model_cli": {"all", "dir"},
    "Dask": {"port", "nthreads", "nworkers", "resources"},
    "nnU-Net": {"save_probabilities"},
    "benchmarks/": {"peers_python", "budget_s", "device", "tiny", "cluster_only"},
}
# reads {command: arguments} of one launcher, which is run without its `main`, and answers with its flags and what is wrong
ASK = """
import copy, json, runpy, sys
name, lines = json.load(sys.stdin)
sys.argv = [f"launch/{name}.py"]
sys.modules["tensorflow"] = None
runpy.run_path(sys.argv[0], run_name="documents")
from absl import flags
wrong = []
for line in lines:
    values = copy.deepcopy(flags.FLAGS)
    try:
        rest = values([sys.argv[0], *line], known_only=False)
        wrong.append(f"argument {rest[1]!r}" if len(rest) > 1 else "")
    except Exception as error:
        wrong.append(str(error) or repr(error))
ours = [flag.name for module, some in flags.FLAGS.flags_by_module_dict().items() for flag in some if "absl" not in module]
print(json.dumps([ours, wrong]))
"""


def made(target):
    """The commands that a target of the Makefile would run."""
    command = ["make", "--dry-run", "--old-file=.venv/installed", target]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return list(documents.commands(ended.stdout.replace(".venv/bin/python", "python")))


@pytest.fixture(scope="module")
def asked():
    """({program: its flags}, [place, command, what is wrong with it]) of all commands of the documents and of the demos."""
    lines = [(block.place, words) for block in BLOCKS for words in documents.commands(block.text)]
    # docs/howto/new_method.md adds a method of that name first
    lines = [(place, [word.replace("=tempered", "=baseline") for word in words]) for place, words in lines]
    lines += [("Makefile", words) for target in ("demo", "demo-organs") for words in made(target)]
    ours = [(place, *found) for place, words in lines if (found := documents.program(words))]

    def ask(name):
        given = json.dumps([name, [arguments for _, program, arguments in ours if program == name]])
        ended = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, input=given, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(LAUNCHERS, pool.map(ask, LAUNCHERS), strict=True))
    found = []
    for name in LAUNCHERS:
        places = [(place, arguments) for place, program, arguments in ours if program == name]
        found += [
            (place, name, arguments, wrong) for (place, arguments), wrong in zip(places, answers[name][1], strict=True)
        ]
    return {name: set(answers[name][0]) for name in LAUNCHERS}, found


def test_commands_parse(asked):
    """Every command of ours in a document, and of the demos, has a program and flags that it takes."""
    flags, found = asked
    assert len(found) > 60 and {name for _, name, _, _ in found} >= {"train", "study", "predict", "request"}
    assert not [f"{place}: {name}: {wrong}" for place, name, _, wrong in found if wrong]
    assert "dataset" in flags["train"]


def test_a_flag_that_is_none_is_found():
    """What test_commands_parse relies on: an unknown flag, a value out of range and a word too many are told."""
    lines = [
        ["--dataset=brats", "--methd=x"],
        ["--dataset=brats", "--samples=0"],
        ["--dataset=brats", "x"],
        ["--dataset=brats"],
    ]
    ended = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, input=json.dumps(["study", lines]), capture_output=True, text=True
    )
    wrong = json.loads(ended.stdout)[1]
    assert "methd" in wrong[0] and "samples" in wrong[1] and "argument 'x'" in wrong[2] and not wrong[3]


def test_other_programs_exist():
    """A command is one of ours, a target of the Makefile, a file of the checkout, or of a known other program."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wrong = []
    for block in BLOCKS:
        for words in documents.commands(block.text):
            name, *rest = words
            if found := documents.program(words):
                fine = found[0] in LAUNCHERS
            elif name == "make":
                fine = bool(rest) and all(word in targets or "=" in word for word in rest)
            elif name == "python":
                file = ROOT / rest[0]
                fine = file.is_file() and all(f'"{flag}"' in file.read_text() for flag in flags_in(rest[1:]))
            elif name == "tfunc":
                fine = all(word.startswith("--") for word in rest)
            else:
                fine = name in OTHERS | WORDS or "=" in name
            if not fine:
                wrong.append(f"{block.place}: {' '.join(words)}")
    assert not wrong


def flags_in(words):
    return [word.partition("=")[0] for word in words if word.startswith("--")]


def test_blocks_are_marked():
    """Above each block of commands stands which test runs it, which then names the page, or what it needs that no test has."""
    wrong = []
    for block in BLOCKS:
        kind, _, what = block.mark.partition(" ")
        page = block.place.partition(":")[0]
        if kind == "run" and (file := ROOT / what.removeprefix("by ")).is_file():
            if page not in file.read_text(encoding="utf-8"):
                wrong.append(f"{block.place}: {what} does not name the page")
        elif kind != "needs" or what not in documents.NEEDS:
            wrong.append(f"{block.place}: {block.mark!r}")
    assert len(BLOCKS) > 30 and not wrong


def test_commands_stand_in_blocks():
    """No page has commands of ours in an indented block, which no test would look at."""
    wrong = []
    for page in documents.PAGES:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        wrong += [
            f"{page.name}: {line}" for line in re.findall(r"^    (?:python launch|tfunc|make) .*", text, re.MULTILINE)
        ]
    assert not wrong


def test_flags_in_sentences_exist(asked):
    """Every `--flag` of a page's text is one of a program's, or one of the other programs that pages name."""
    known = set().union(*asked[0].values(), *THEIRS.values()) | {"help", "helpshort", "version"}
    wrong = []
    for page in documents.PAGES:
        for flag in re.findall(r"(?<![\w-])--(?:no)?([a-z]\w+)", page.read_text(encoding="utf-8")):
            if not {flag, f"no{flag}"} & known:
                wrong.append(f"{page.relative_to(ROOT)}: --{flag}")
    assert not wrong


# -------------------------------------------------------------------------------------------------------------- counts


def test_numbers_of_methods():
    """A number of methods or scores in a document is that of the table: the paper's, all that `all` means, or all there are."""
    paper = sum(method.in_paper for method in methods.METHODS.values())
    allowed = {
        "methods": {paper, len(methods.parse(["all"])), len(methods.METHODS)},
        "scores": {len(AGGREGATORS), len(AGGREGATORS) + 1},  # with their combination
        "programs": {len(LAUNCHERS)},
    }
    pattern = re.compile(rf"\b({'|'.join(NUMBERS)})\s+(?:[a-z-]+\s+)?({'|'.join(allowed)})\b", re.IGNORECASE)
    launchers = [ROOT / "launch" / f"{name}.py" for name in LAUNCHERS]
    wrong = []
    for page in [*documents.PAGES, *launchers, ROOT / "Makefile"]:
        for number, of in pattern.findall(page.read_text(encoding="utf-8")):
            if NUMBERS[number.lower()] not in allowed[of.lower()]:
                wrong.append(f"{page.name}: {number} {of}")
    assert not wrong


def test_lists_of_methods():
    """The how-to of choosing has a row for each method of the table, in its order."""
    text = (ROOT / "docs" / "howto" / "choose_method.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(methods.METHODS)


def test_the_array_has_all_jobs(brats_data, tmp_path):
    """The two lines of docs/howto/cluster.md submit as many tasks as the plan has jobs, its last, evaluate, included."""
    text = (ROOT / "docs" / "howto" / "cluster.md").read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "jobs=$(" in block]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "brats").symlink_to(brats_data)
    (tmp_path / "launch").symlink_to(ROOT / "launch")
    for name, content in (("python", f'exec {sys.executable} "$@"'), ("sbatch", 'echo "$@" > submitted')):
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{content}\n")
        file.chmod(0o755)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    subprocess.run(["bash", "-ec", block], cwd=tmp_path, env={"PATH": path}, check=True, capture_output=True)
    plan = [sys.executable, "launch/study.py", "--dataset=brats", "--dry_run"]
    jobs = subprocess.run(plan, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    assert jobs[-1].split()[2] == "evaluate" and int(jobs[-1].split()[0]) == len(jobs) - 1
    assert f"--array=0-{len(jobs) - 1}%" in (tmp_path / "submitted").read_text()
    assert not re.findall(r"--array=0-\d+", "".join(page.read_text(encoding="utf-8") for page in documents.PAGES))
