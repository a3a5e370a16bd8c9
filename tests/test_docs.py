"""Every snippet of README and docs runs, and what is generated is up to date."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from keras_deeplab.publishing import results_table
from keras_deeplab.zoo.manifest import default_zoo

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INSTALLS = ("pip install ",)  # the two commands that .ci/run runs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_run(page, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = {
        **os.environ,
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    snippets = re.findall(r"```(python|bash)\n(.*?)```", page.read_text(), re.DOTALL)
    assert snippets
    for language, code in snippets:
        if code.startswith(INSTALLS):
            continue
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-ec", code]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{code}\n{result.stderr}"


def test_linked_files_exist():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", *(ROOT / "zoo/cards").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_results_table_is_the_manifests():
    text = (ROOT / "README.md").read_text()
    assert results_table.results_table(default_zoo()) in text
    assert results_table.update_readme(text, default_zoo()) == text
