"""The rooms of the package: imports flow one way, no module imports itself in a circle."""

import ast
import graphlib
import pathlib

import keras_deeplab
from keras_deeplab._internal.resources import PACKAGE, scripts_dir

# A room may use those before it. CONTRIBUTING.md says what each is for.
ROOMS = (
    *("_internal", "models", "checkpoints", "downloads", "data", "zoo", "runtimes"),
    *("prediction", "evaluation", "training", "publishing", "commands", "scripts"),
)

# Rooms whose own modules are what others use of the folders in them.
FACADES = ("checkpoints", "data", "evaluation", "training")


def modules():
    """Dotted name to path, of every module of package and commands."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["keras_deeplab", *path.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts).removesuffix(".__init__")] = path
    for path in sorted(scripts_dir().glob("*.py")):
        found[f"keras_deeplab.scripts.{path.stem}"] = path
    return found


def imported(path, known):
    """`(module, whether at import time)` of this package that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_import = set(map(id, import_time(tree.body)))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "keras_deeplab":
                assert name in known, f"{path} imports {name}"
                yield name, id(node) in at_import


def import_time(statements):
    """The statements of a module that run when it is imported, without type checking."""
    for statement in statements:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            continue
        yield statement
        for block in ("body", "orelse", "finalbody"):
            if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                yield from import_time(getattr(statement, block, []))


def room(name):
    return name.split(".")[1] if "." in name else None


def test_no_module_stands_beside_the_rooms():
    assert {room(name) for name in modules()} == {None, *ROOMS}
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]


def test_imports_flow_one_way():
    known = modules()
    for name, path in known.items():
        for other, _ in imported(path, known):
            if None not in (room(name), room(other)):
                assert ROOMS.index(room(other)) <= ROOMS.index(room(name)), f"{name}: {other}"


def test_folders_in_a_room_follow_the_table():
    known, order = modules(), listed_rooms()
    for name, path in known.items():
        folder = folder_of(name, path)
        for other, _ in imported(path, known):
            if room(other) != room(name) or folder in FACADES:
                continue
            used = folder_of(other, known[other])
            assert order.index(used) <= order.index(folder), f"{name}: {other}"


def folder_of(name, path):
    """Folder of a module in the package: `prediction/raster`."""
    parts = name.split(".")[1:]
    return "/".join(parts if path.name == "__init__.py" else parts[:-1])


def listed_rooms():
    """The folders in the table of CONTRIBUTING.md, in its order, after the package itself."""
    text = (pathlib.Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    return ["", *(row.strip("/") for row in rows)]


def test_no_circle():
    known = modules()
    graph = {
        name: {other for other, at_import in imported(path, known) if at_import} - {name}
        for name, path in known.items()
    }
    graph["keras_deeplab"] = set()  # its names are imported when they are used
    graphlib.TopologicalSorter(graph).prepare()


def test_each_room_says_what_it_is_for():
    for path in PACKAGE.rglob("__init__.py"):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert doc and doc.split("\n")[0].endswith("."), path


def test_contributing_lists_the_rooms():
    assert [row for row in listed_rooms() if row and "/" not in row] == list(ROOMS)


def test_no_module_bears_the_name_of_a_public_function():
    names = {name.rpartition(".")[2] for name in modules() if name.count(".") == 1}
    assert not names & set(keras_deeplab.__all__) - {"data"}


def test_only_public_names_are_listed():
    assert dir(keras_deeplab) == sorted(keras_deeplab.__all__)
    assert not [name for name in dir(keras_deeplab) if name.startswith("_")]
    for name in keras_deeplab.__all__:
        assert getattr(keras_deeplab, name)
    assert dir(keras_deeplab.data) == sorted(keras_deeplab.data.__all__)
