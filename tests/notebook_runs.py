"""Runs docs/tutorial/first_hour.ipynb with any Python that has ipykernel, in a folder of its own.

python tests/notebook_runs.py     # runs it with this Python, and writes its outputs into the document
"""

import json
import os
import pathlib
import re
import sys
import tempfile

import nbclient
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

PATH = pathlib.Path(__file__).resolve().parents[1] / "docs" / "tutorial" / "first_hour.ipynb"
KERNEL = "tfunc-notebook"


def run(python, folder):
    """The notebook as it is after a run by the interpreter `python` in `folder`; a cell that fails raises its error."""
    kernel = pathlib.Path(folder) / ".kernels" / KERNEL
    kernel.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": ""}
    spec = {"argv": argv, "display_name": KERNEL, "language": "python", "env": environment}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    specs = KernelSpecManager(kernel_dirs=[str(kernel.parent)])
    manager = AsyncKernelManager(kernel_name=KERNEL, kernel_spec_manager=specs)
    notebook = stored()
    client = nbclient.NotebookClient(notebook, timeout=900, km=manager, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return notebook


def stored():
    """The notebook as the document has it."""
    return nbformat.read(PATH, as_version=4)


def text(notebook):
    """All that its cells printed."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join(said)


def tidied(notebook, folder):
    """Without what differs from machine to machine: folders, times, and lines that a progress bar overwrote."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "text" in output:
                lines = [line.rpartition("\r")[2] for line in output["text"].replace(str(folder), ".").split("\n")]
                output["text"] = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = ""
    with tempfile.TemporaryDirectory() as place:
        nbformat.write(tidied(run(sys.executable, place), place), PATH)
