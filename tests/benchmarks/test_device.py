"""The script for one GPU, on a CPU at its least size: all parts run, a part that hangs costs itself alone, nothing is lost."""

import sys

import device
import device_parts
import measured
import pytest

STUB = """
import json, sys, time
parts = [flag for flag in sys.argv if flag.startswith("--parts=")][-1].split("=")[1].split(",")
for part in parts:
    print(json.dumps({"begins": part, "seconds": 0.2}), flush=True)
    if part == "training":
        time.sleep(60)
    if part == "mc":
        raise SystemExit(5)
    print(json.dumps({"part": part, "engine": "tfunc", "form": "graph", "images/s": 2.0, "first call s": 0.1}), flush=True)
"""


@pytest.mark.long
def test_all_parts_run(monkeypatch):
    """Every part gives rates for each of its forms at the least size, none is left out, and all name the device."""
    said = []
    monkeypatch.setattr(device_parts, "say", said.append)
    monkeypatch.setitem(device_parts.STARTS, "tfunc", lambda flags: flags.device)
    shares = device.SHARES["tfunc"]
    flags = device.flags_of(
        ["--device=CPU", "--tiny", "--worker=tfunc", f"--parts={','.join(shares)}", "--seconds=600"]
    )
    device_parts.work(flags, shares)
    assert [row["begins"] for row in said if "begins" in row] == [*shares]
    rows = [row for row in said if "begins" not in row]
    assert {row["part"] for row in rows} == {*shares, "deterministic"}
    assert not [row for row in rows if "left out" in row] and all(row["images/s"] > 0 for row in rows)
    assert {row["device"] for row in rows} == {"CPU"}
    assert {row.get("form") for row in rows} >= {"graph", "T=2", "one pass", "K=2", "augment=none"}


def test_time_that_is_spent_leaves_cases_out(monkeypatch):
    """With no seconds left nothing is begun, and each case says so."""
    said = []
    monkeypatch.setattr(device_parts, "say", said.append)
    monkeypatch.setitem(device_parts.STARTS, "tfunc", lambda flags: flags.device)
    flags = device.flags_of(["--device=CPU", "--tiny", "--worker=tfunc", "--parts=inference,mc", "--seconds=0"])
    device_parts.work(flags, device.SHARES["tfunc"])
    rows = [row for row in said if "begins" not in row]
    assert len(rows) == 3 and all("share" in row["left out"] for row in rows)


def test_a_part_that_hangs_or_fails_costs_itself_alone(monkeypatch, tmp_path):
    """It is ended after its share, or said to have failed; the parts after it run in a process of their own."""
    stub = tmp_path / "stub.py"
    stub.write_text(STUB)
    monkeypatch.setattr(device, "__file__", str(stub))
    monkeypatch.setattr(device, "GRACE", 0.3)
    kept = []
    device.run("tfunc", sys.executable, device.flags_of(["--device=CPU"]), 20, kept.append)
    assert [(row["part"], row.get("left out")) for row in kept] == [
        ("inference", None),
        ("training", "ended: its share of the time was spent"),
        ("mc", "ended: exit code 5"),
        ("ensemble", None),
        ("pipeline", None),
    ]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.stdout.write('[]')", "sees no such device"),
        ("import no_such_package", "cannot be imported: Module"),
    ],
)
def test_no_device_is_one_line(monkeypatch, capsys, program, said):
    """Exit code 2 and what to look at, before anything is measured."""
    monkeypatch.setattr(device, "IMPORTS", program)
    with pytest.raises(SystemExit) as ended:
        device.check(device.flags_of([]))
    err = capsys.readouterr().err
    assert ended.value.code == 2 and said in err and err.count("\n") == 1


def test_claims_compare_like_with_like():
    """The fastest form of each engine at one precision; what is left out or has no peer claims nothing."""
    row = {"part": "inference", "precision": "bfloat16"}
    rows = [
        {**row, "engine": "tfunc", "images/s": 4.0},
        {**row, "engine": "tfunc", "images/s": 6.0},
        {**row, "engine": "torch", "images/s": 5.0},
        {**row, "engine": "torch", "left out": "no"},
        {**row, "precision": "float32", "engine": "tfunc", "images/s": 9.0},
        {"part": "training", "engine": "tfunc", "precision": "float32", "images/s": 8.0},
        {"part": "pipeline", "engine": "tfunc", "images/s": 4.0},
    ]
    assert device.claims_of(rows) == [
        measured.at_least("inference, bfloat16: tfunc to PyTorch's best", 1.2, 1.0),
        measured.at_least("the input pipeline to the fastest training", 0.5, 1.0),
    ]
