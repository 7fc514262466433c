"""The one form that all benchmarks write: claims hold on the right side of their limit, and a file is read as it was written."""

import json

import measured
import pytest
from measured import Processor, at_least, at_most

from data_prep.base import artefacts
from data_prep.base.errors import UserError

CPUINFO = """processor\t: 0
model name\t: Some(R) Processor  9000
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16
bugs\t\t:

processor\t: 1
model name\t: Some(R) Processor  9000
flags\t\t: fpu sse2 avx2 avx512f avx512_bf16
"""


def test_claims_hold_on_their_side():
    """At the limit both hold; past it only the one that looks that way."""
    assert at_least("a", 1.5, 1.5).holds and at_most("a", 1.5, 1.5).holds
    assert at_least("a", 1.6, 1.5).holds and not at_most("a", 1.6, 1.5).holds
    assert not at_least("a", 1.4, 1.5).holds and at_most("a", 1.4, 1.5).holds
    assert not at_least("a", float("nan"), 1.5).holds and not at_most("a", float("nan"), 1.5).holds
    assert str(at_least("rate", 1.4, 1.5)) == "does not hold: rate: 1.4, limit 1.5"


def test_processor_is_named_with_what_decides():
    """Its own name, and of its many flags those that decide how fast a convolution can be, the best first."""
    assert measured.processor(CPUINFO) == Processor("Some(R) Processor 9000", ("avx512_bf16", "avx512", "avx2"))
    assert measured.processor("").instructions == ()


def test_machine_is_no_host(monkeypatch):
    """A file's name says processor and cores, and nothing of whose machine it is."""
    monkeypatch.setattr(measured, "processor", lambda: Processor("Some(R) Core(TM) CPU @ 2.60GHz", ()))
    monkeypatch.setattr(measured, "cores", lambda: 2)
    assert measured.machine() == "some-core-cpu-2.60-ghz-2-cores"


def test_read_as_written(tmp_path, capsys):
    """A report prints each claim and whether it holds, and its file gives back the same."""
    claims = [at_most("memory is flat", 1.02, 1.1), at_least("ahead", 0.9, 1.0)]
    series = [measured.Series("time", "samples", "seconds", ((1.0, 0.5), (5.0, 2.5)))]
    rows = [{"part": "inference", "rate": 3.5}, {"part": "training", "rate": None}]
    found = measured.here("growth", {"numpy": "2.0"}, claims, series, rows)
    measured.report(found, tmp_path / "deep" / "found.json")
    assert measured.read(tmp_path / "deep" / "found.json") == found
    printed = capsys.readouterr().out
    assert "holds: memory is flat: 1.02, limit 1.1\ndoes not hold: ahead: 0.9, limit 1\n" in printed
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["found.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cores": "two"}, "Expected `int`"),
        ({"claims": [{"claim": "a"}]}, "missing required"),
        ({"schema": 2}, "schema 1"),
    ],
)
def test_other_files_are_refused(tmp_path, change, said):
    """What is not this form, or a later one, is named in one line."""
    measured.report(measured.here("growth", {}), path := tmp_path / "found.json")
    path.write_text(json.dumps({**artefacts.read_json(path), **change}))
    with pytest.raises(UserError, match=said):
        measured.read(path)


def test_versions_are_of_what_is_installed():
    """A package that is not there is left out."""
    assert list(measured.versions("numpy", "no-such-package-at-all")) == ["numpy"]
