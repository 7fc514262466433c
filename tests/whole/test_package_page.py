"""The commands of PACKAGE.md, the page of the package, run in a folder of their own, by a stand-in for the installed command.

tests/whole/test_wheel.py has the wheel's own command.
"""

import os
import subprocess
import sys

import documents
import pytest
from conftest import ROOT

pytestmark = pytest.mark.long


def test_its_commands_end_with_a_report(tmp_path):
    """As they stand there, in less than a minute or two."""
    (block,) = [block for block in documents.blocks(ROOT / "PACKAGE.md") if "tfunc study" in block.text]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tfunc").write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tfunc "$@"\n')
    (tmp_path / "bin" / "tfunc").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    command = ["bash", "-ec", block.text]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "| baseline+MC |" in ended.stdout
    assert (tmp_path / "runs" / "brats" / "evaluation" / "report.html").is_file()
