"""`tfunc demo`: the commands that it prints are those that it runs, one after the other, and the first failure is its own."""

import pathlib

import pytest

from data_prep.base.errors import UserError
from launch import demo, main


@pytest.mark.parametrize("organs", [False, True])
def test_steps(organs):
    """Each step is a program of ours, whose folders are those that the step before wrote."""
    steps = demo.steps(pathlib.Path("x"), organs)
    assert [name for name, _ in steps][:3] == ["phantom", "prepare", "study"] and {name for name, _ in steps} <= set(
        main.PROGRAMS
    )
    raw = next(flag.partition("=")[2] for flag in steps[0][1] if flag.startswith("--raw_dir="))
    assert any(flag.endswith(f"={raw}") for flag in steps[1][1])
    assert all("--data_dir=x/data" in flags for name, flags in steps[1:])
    assert all("--run_dir=x/run" in flags for name, flags in steps[2:])


def test_a_failure_is_its_own(tmp_path, capfd):
    """With the program's line and code."""
    with pytest.raises(SystemExit) as ended:
        demo.run("phantom", ["--dataset=brats", f"--raw_dir={tmp_path / 'raw'}", "--subjects=0"])
    assert ended.value.code == UserError.exit_code and "--subjects" in capfd.readouterr().err


def test_commands_are_printed_as_they_are_typed(monkeypatch, capsys):
    """As this user started the program."""
    ran = []
    monkeypatch.setattr(demo, "run", lambda name, flags: ran.append((name, flags)))
    monkeypatch.setattr(demo, "FLAGS", type("Flags", (), {"folder": "my demo", "organs": False}))
    monkeypatch.setattr(demo.program, "started_as", "tfunc")
    demo.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert [line.split()[2] for line in lines] == [name for name, _ in ran] == ["phantom", "prepare", "study"]
    assert lines[0].startswith("$ tfunc phantom --dataset=brats") and "'--raw_dir=my demo/raw'" in lines[0]
