"""The Python environment of tests/oracles, which has torch and the rest: made below build/ where it is missing."""
import importlib.util
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / "build" / "oracles" / "venv"


def python_with_torch():
    subprocess.run([ROOT / "tools" / "venv.sh", VENV, ROOT / "tests" / "oracles" / "requirements.txt"], check=True)
    return str(VENV / "bin" / "python")


def enter(*modules):
    """Starts the script anew with that environment's Python, unless this one has the modules."""
    if pathlib.Path(sys.prefix) != VENV and not all(importlib.util.find_spec(module) for module in modules):
        python = python_with_torch()
        os.execv(python, [python, *sys.argv])
