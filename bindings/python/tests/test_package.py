"""The package as it is shipped: its stubs, its wheel in a clean environment, its README."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import repliq
import repliq.aio
import repliq.socketpro

ROOT = Path(__file__).resolve().parents[3]


def example() -> str:
    """The program of the README."""
    text = (ROOT / "bindings/python/README.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]


def test_the_stubs_say_what_the_module_has(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "repliq"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_has_every_docstring_of_the_stub() -> None:
    stub = ast.parse((Path(repliq.__file__).parent / "_repliq.pyi").read_text())
    found = 0

    def same(node: ast.ClassDef | ast.FunctionDef, of: object) -> None:
        nonlocal found
        if (text := ast.get_docstring(node)) is not None:
            assert inspect.getdoc(of) == text, node.name
            found += 1

    for node in stub.body:
        if isinstance(node, ast.FunctionDef):
            same(node, getattr(repliq._repliq, node.name))
        elif isinstance(node, ast.ClassDef):
            noun = getattr(repliq._repliq, node.name)
            same(node, noun)
            for verb in node.body:
                # Python has words of its own for what begins with two underscores.
                if isinstance(verb, ast.FunctionDef) and not verb.name.startswith("__"):
                    same(verb, getattr(noun, verb.name))
                    named = ast.get_docstring(verb) or verb.name == "header"
                    assert named, f"{node.name}.{verb.name} has no docstring"
    assert found > 120


def test_every_name_of_the_package_says_what_it_is() -> None:
    for module in (repliq, repliq.aio, repliq.socketpro):
        for name in module.__all__:
            noun = getattr(module, name)
            if not inspect.isclass(noun):
                assert not callable(noun) or inspect.getdoc(noun), name
                continue
            assert noun.__doc__, name
            for verb, of in vars(noun).items():
                if not verb.startswith("_") and (inspect.isroutine(of) or isinstance(of, property)):
                    assert inspect.getdoc(of), f"{name}.{verb}"


def test_the_package_passes_mypy_as_strict(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(example())
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "-p", "repliq"],
        capture_output=True, text=True, cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout


def test_the_wheel_works_in_a_clean_environment_outside_of_the_tree(tmp_path: Path) -> None:
    (wheel,) = (ROOT / "target/wheels").glob("repliq-*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [python, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "pip", "install", "--quiet", "--no-index", wheel)
    said = ["1 one pound of tea", "2 two pounds of sugar", "the clerk has taken everything"]
    assert run("-c", example()).splitlines() == said
    where = run("-c", "import repliq; print(repliq.__file__, repliq.version, repliq.abi)").split()
    assert where[0].startswith(str(tmp_path)) and where[1:] == [repliq.version, "0"]
    assert (Path(where[0]).parent / "py.typed").exists()


def test_the_extension_exports_its_own_name_only() -> None:
    path = Path(repliq._repliq.__file__)
    listed = subprocess.run(["nm", "-D", "--defined-only", path], capture_output=True, text=True, check=True)
    names = [line.split()[-1] for line in listed.stdout.splitlines()]
    assert "PyInit__repliq" in names
    assert not [name for name in names if name.startswith("repliq_")], names


def test_version_and_abi_are_the_header_s() -> None:
    header = (ROOT / "include/repliq.h").read_text()
    assert f'#define REPLIQ_HEADER_VERSION "{repliq.version}"' in header
    assert f"#define REPLIQ_ABI_VERSION {repliq.abi}\n" in header
