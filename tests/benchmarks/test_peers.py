"""Engines that take turns: medians are over all rounds, what an engine cannot run is left out, ratios are like with like."""

import sys

import measured
import peers
import pytest
import turns

SCRIPT = """
import sys, time
sys.path.insert(0, {folder!r})
import turns
turns.SECONDS = 0.0

def broken():
    raise ValueError("no such form")

turns.serve({{"a": (lambda: time.sleep({seconds}), 4), {more}}}, {{"engine": "1.0"}})
"""


@pytest.fixture
def worker(tmp_path):
    """worker(seconds of its part `a`, more parts) -> a ready one; ended afterwards."""
    started = []

    def make(seconds, more=""):
        path = tmp_path / f"{len(started)}.py"
        folder = str(peers.ROOT / "benchmarks")
        path.write_text(SCRIPT.format(folder=folder, seconds=seconds, more=more))
        started.append(turns.Worker(sys.executable, str(path)))
        return started[-1]

    yield make
    for one in started:
        one.close()
        assert one.process.returncode == 0


def test_turns(worker):
    """Two processes, parts that only one has, and one that fails when it is first called."""
    slow, fast = worker(0.04, '"broken": (broken, 1)'), worker(0.01, '"b": (lambda: time.sleep(0.02), 1)')
    assert slow.versions == {"engine": "1.0"} and slow.images == {"a": 4} and fast.images == {"a": 4, "b": 1}
    rates = turns.measure([slow, fast], 3)
    assert 50 < rates["a"][0] <= 100 < rates["a"][1] <= 400
    assert rates["b"][0] is None and 10 < rates["b"][1] <= 50


def test_a_worker_that_ends_is_said(tmp_path):
    """Its command and exit code, not a traceback."""
    (tmp_path / "ends.py").write_text("raise SystemExit(7)")
    with pytest.raises(SystemExit, match=r"ends\.py ended with exit code 7"):
        turns.Worker(sys.executable, str(tmp_path / "ends.py"))


RATES = {
    "inference/bfloat16/probability": [60.0, None, None],
    "inference/bfloat16/all maps": [70.0, None, None],
    "inference/bfloat16/eager": [None, 20.0, None],
    "inference/bfloat16/compiled": [None, 50.0, None],
    "inference/bfloat16/one request": [None, None, 60.0],
    "mc/float32/sampled": [0.5, None, None],
    "mc/float32/deterministic": [16.0, None, None],
    "mc/float32/loop": [None, 0.4, None],
}


def test_claims_are_of_the_best_of_each_engine():
    """tfunc's fastest beside each engine's; a sampled pass beside a deterministic one."""
    found = peers.by_part(RATES, ["tfunc", "torch", "openvino"])
    assert peers.claims_of(found, 20) == [
        measured.at_least("inference, bfloat16: tfunc to the best of openvino", 7 / 6, 1.0),
        measured.at_least("inference, bfloat16: tfunc to the best of torch", 1.4, 1.5),
        measured.at_least("mc, float32: a sampled pass to a deterministic one, T=20", 0.625, 0.97),
    ]
    rows = peers.rows_of(found)
    assert len(rows) == len(RATES)
    (eager,) = (row for row in rows if row["candidate"] == "eager")
    assert eager["tfunc's best is faster by"] == 3.5 and eager["engine"] == "torch"


@pytest.mark.long
def test_own_parts_do_the_peers_work():
    """tfunc's probability alone is that of all its maps, float32 in [0, 1], whichever engine computes it."""
    flags = peers.flags_of(
        ["--part=inference", "--precision=float32", "--size=16,16", "--batch=2", "--start_filters=2", "--depth=1"]
    )
    parts, versions = peers.of_tfunc(flags)
    names = [f"inference/float32/{name}" for name in ("probability", "all maps", "all maps, --engine=openvino")]
    assert [*parts] == names and "tensorflow" in versions
    alone, whole, other = (parts[name][0]() for name in names)
    assert abs(alone - other["probability"]).max() < 1e-5
    assert alone.shape == (2, 16, 16) and alone.dtype == "float32" and parts[names[0]][1] == 2
    assert (alone == whole["probability"]).all() and 0 <= alone.min() < alone.max() <= 1


@pytest.mark.parametrize("flag", ["--part=inference,serving", "--precision=float16", "--engines=tensorrt"])
def test_unknown_words_are_refused(flag, capsys):
    """With those that there are."""
    with pytest.raises(SystemExit):
        peers.flags_of([flag])
    assert "expected some of" in capsys.readouterr().err
