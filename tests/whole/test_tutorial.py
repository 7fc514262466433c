"""The tutorial docs/tutorial/own_data.md works as it stands, its blocks one after the other, with smaller numbers."""

import os
import re
import subprocess
import sys

import documents
import pytest
from conftest import ROOT

PAGE = ROOT / "docs" / "tutorial" / "own_data.md"
SMALLER = {"--epochs=10": "--epochs=1", "--start_filters=16": "--start_filters=2", "--depth=3": "--depth=1"}
SMALLER |= {"--shape=16,48,48": "--shape=16,32,32", "--subjects=24": "--subjects=10", "--samples=5": "--samples=2"}

pytestmark = pytest.mark.long


def test_its_blocks_run(tmp_path):
    """They leave the report, and maps of each new patient; the page's flags are all there to be made smaller."""
    text = "\n".join(block.text for block in documents.blocks(PAGE))
    for given, smaller in SMALLER.items():
        assert given in text
        text = text.replace(given, smaller)
    (tmp_path / "launch").symlink_to(ROOT / "launch")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-ec", text], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert (tmp_path / "runs" / "Dataset900_Organs" / "evaluation" / "report.html").is_file()
    new = sorted((tmp_path / "raw" / "Dataset900_Organs" / "imagesTs").glob("*.nii.gz"))
    assert new and all((tmp_path / "maps" / re.sub(r"_0000", "", path.name)).is_file() for path in new)
    assert all(f"{path.name[:7]}: " in ended.stdout for path in new) and "liver " in ended.stdout
