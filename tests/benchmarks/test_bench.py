"""`make bench`: what several benchmarks wrote is one file, and the document shows it between its markers and nowhere else."""

import json

import bench
import growth
import measured
import performance
import prediction_memory
import pytest

from data_prep.base.errors import UserError

DOCUMENT = "# Title\n\nby hand\n\n<!-- begin: growth -->\nyesterday\n<!-- end: growth -->\n\nalso by hand\n"


def some(name, claim=True):
    """A measured with one of each."""
    series = [measured.Series("time", "samples", "seconds", ((1.0, 0.5), (5.0, 2.5)))]
    claims = [measured.at_most(f"{name} is flat", 1.0 if claim else 2.0, 1.1)]
    return measured.here(name, {name: "1.0"}, claims, series, [{"what": name, "seconds": 1.23456}])


def test_merged_keeps_all():
    """Claims, curves, versions and rows of each, rows with whose they are."""
    both = bench.merged("growth", [some("growth"), some("evaluation")])
    assert both.versions == {"growth": "1.0", "evaluation": "1.0"} and len(both.series) == len(both.claims) == 2
    assert both.rows[1] == {"benchmark": "evaluation", "what": "evaluation", "seconds": 1.23456}
    assert both.rows[0] == {"what": "growth", "seconds": 1.23456}


def test_scripts_that_fail_or_are_not_there(tmp_path, monkeypatch, capsys):
    """A script without --json is left out and said; what one wrote before it failed is kept, and the failure known."""
    form = json.dumps({"name": "a", "processor": {"name": "p", "instructions": []}, "cores": 1, "versions": {}})
    lines = [
        'import sys  # takes "--json"',
        f"open(sys.argv[1].split('=')[1], 'w').write({form!r})",
        "sys.exit(3 if '--quick' in sys.argv else 4)",
    ]
    (tmp_path / "a.py").write_text("\n".join(lines))
    (tmp_path / "old.py").write_text("raise SystemExit(1)")
    monkeypatch.setattr(bench, "HERE", tmp_path)
    found, failed = bench.run(["a.py", "old.py", "none.py"], ["--quick"], tmp_path)
    assert [one.name for one in found] == ["a"] and failed == ["a.py"]
    printed = capsys.readouterr().out
    assert "a.py: failed, exit code 3" in printed and printed.count("left out") == 2


def test_document_shows_what_was_measured(tmp_path):
    """Between the markers and nowhere else; a claim that does not hold says so; once more changes nothing."""
    (tmp_path / "docs/reference").mkdir(parents=True)
    document = tmp_path / "docs" / performance.DOCUMENT
    document.write_text(DOCUMENT)
    measured.write(some("growth", claim=False), tmp_path / "results" / "cpu-2-cores.json")
    performance.write(tmp_path / "results", tmp_path / "docs")
    text = document.read_text()
    assert text.startswith("# Title\n\nby hand\n\n<!-- begin: growth -->\n") and text.endswith("also by hand\n")
    assert "yesterday" not in text and "| growth is flat | 2 | 1.1 | **no** |" in text and "| growth | 1.235 |" in text
    picture = tmp_path / "docs/images/performance-cpu-2-cores.png"
    assert "(../images/performance-cpu-2-cores.png)" in text and 0 < picture.stat().st_size < 300_000
    performance.write(tmp_path / "results", tmp_path / "docs")
    assert document.read_text() == text


def test_document_without_markers_is_refused():
    """Rather than shown nowhere."""
    with pytest.raises(UserError, match="begin: device"):
        performance.filled(DOCUMENT, "device", "text")


def test_growth_claims_find_what_is_not_linear(monkeypatch):
    """Ten times the samples for ten times the seconds holds, for twelve not; memory that grows by a fifth is not flat."""

    def alone(shape, filters, samples=1, members=0, repeats=1):
        number = samples * max(members, 1)
        seconds = 0.3 + 0.1 * number ** (1.3 if members else 1.0)
        weights = 50.0 * max(members, 1)
        return {
            "seconds": seconds,
            "MiB": 500 + 2 * (weights - 50) + (0 if members else 2 * samples),
            "weights_MiB": weights,
        }

    monkeypatch.setattr(prediction_memory, "alone", alone)
    claims, series, rows = growth.prediction(growth.Plan(samples=(1, 5, 50), members=(5, 50)))
    assert [claim.holds for claim in claims] == [True, False, False, True], claims
    assert [one.points[-1][0] for one in series] == [50, 50, 50, 50] and len(rows) == 5


@pytest.mark.long
def test_a_prediction_is_measured(capsys):
    """What the children print: seconds, peak memory, and the weights of all members."""
    for members in (0, 2):
        prediction_memory.measure(2, members, (3, 16, 16), 2, 1)
    one, two = map(json.loads, capsys.readouterr().out.strip().splitlines())
    assert one["seconds"] > 0 and one["MiB"] > 100
    assert two["members"] == 2 and two["weights_MiB"] == pytest.approx(2 * one["weights_MiB"], abs=0.11)
