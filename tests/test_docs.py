"""Every snippet of README and docs runs, and what is generated is up to date."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from in_process import run
from PIL import Image

from keras_deeplab.publishing import results_table
from keras_deeplab.zoo.manifest import default_zoo

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INSTALLS = ("pip install ",)  # the two commands that .ci/run runs
OF_DATA = ("data.md", "datasets.md")  # pages on which the network does not matter
SHORT = {"README", "performance", "predict"}  # pages whose snippets take a few seconds


def snippets(page):
    """`(language, code)` of each snippet of a page."""
    found = re.findall(r"```(python|bash)\n(.*?)```", page.read_text(), re.DOTALL)
    assert found
    return [(language, code) for language, code in found if not code.startswith(INSTALLS)]


def page_case(page):
    return pytest.param(page, id=page.name, marks=() if page.stem in SHORT else pytest.mark.long)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A new current directory, from which the commands of the package are found."""
    monkeypatch.chdir(tmp_path)
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    return tmp_path


def crop(path):
    with Image.open(path) as picture:
        picture.crop((0, 0, 160, 128)).save(path)


@pytest.mark.parametrize("page", [page_case(page) for page in PAGES])
def test_snippets_run(page, folder, request):
    """In this process, which starts TensorFlow once; on parts of the images, with few steps."""
    if page.name in OF_DATA:
        request.getfixturevalue("tiny_networks")
    shutil.copytree(ROOT / "examples", folder / "examples")
    for path in folder.glob("examples/dubai/*/*"):
        crop(path)
    for language, code in snippets(page):
        if language == "python":
            exec(compile(code, page.name, "exec"), {"__name__": "__main__"})
            continue
        for line in code.splitlines():
            if line.startswith("keras-deeplab "):
                run(*shlex.split(re.sub(r"--steps 150", "--steps 2", line))[1:])
            else:
                subprocess.run(["bash", "-ec", line], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_run_in_processes_of_their_own(page, folder):
    """As a user runs them: nothing is imported, set or traced already, and the images are whole."""
    (folder / "examples").symlink_to(ROOT / "examples")
    for language, code in snippets(page):
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-ec", code]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
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
