"""What the build puts into an artefact, and how it refuses what it cannot put there."""

import compileall
import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from infra.build import (
    ELF_64_LITTLE_ENDIAN,
    ROOT,
    BuildError,
    Project,
    Target,
    build,
    compiler,
    copy_project,
    fingerprint,
    prune,
    runtime_requirements,
    strip,
)

Write = Callable[..., Project]


@pytest.fixture
def project(tmp_path: Path) -> Write:
    """Write a project with a graph, an env file, and what has no place in an artefact."""
    home = tmp_path / "home"
    for name, text in {
        "agents/chat.py": "graph = None",
        "agents/prompt.txt": "be kind",
        "agents/requirements.txt": "left-pad-of-python==1\n",
        "agents/__pycache__/chat.pyc": "",
        "agents/.cache/x": "",
        "agents/venv/pyvenv.cfg": "",
        "single.py": "graph = None",
        "web.py": "app = None",
        "embedding.py": "embed = None",
        "secret.env": "KEY=1",
        "notes.md": "",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)

    def write(**declared: Any) -> Project:
        (home / "langgraph.json").write_text(json.dumps({"graphs": {"chat": "./agents/chat.py:graph"}, **declared}))
        return Project.load(home / "langgraph.json")

    return write


def copied(project: Project, into: Path) -> set[str]:
    """The files that a copy of a project consists of."""
    copy_project(project, into)
    return {str(path.relative_to(into)) for path in into.rglob("*") if path.is_file()}


def test_a_project_is_its_configuration_its_dependencies_and_its_env_file(project: Write, tmp_path: Path) -> None:
    declared = project(dependencies=["./agents", "httpx"], env="secret.env")
    assert copied(declared, tmp_path / "copy") == {
        "langgraph.json",
        "agents/chat.py",
        "agents/prompt.txt",
        "agents/requirements.txt",
        "secret.env",
    }


def test_a_graph_outside_of_every_dependency_comes_alone(project: Write, tmp_path: Path) -> None:
    declared = project(graphs={"one": {"path": "./single.py:graph"}, "other": "package.module:graph"})
    assert copied(declared, tmp_path / "copy") == {"langgraph.json", "single.py"}


def test_custom_routes_and_an_embedding_function_come_with_it(project: Write, tmp_path: Path) -> None:
    named = {"http": {"app": "./web.py:app"}, "store": {"index": {"embed": "./embedding.py:embed", "dims": 2}}}
    assert copied(project(**named), tmp_path / "copy") == {
        "langgraph.json",
        "agents/chat.py",
        "web.py",
        "embedding.py",
    }
    named = {"http": {"app": "package.web:app"}, "store": {"index": {"embed": "openai:small", "dims": 2}}}
    assert copied(project(**named), tmp_path / "other") == {"langgraph.json", "agents/chat.py"}


def test_the_projects_requirements_are_those_it_names_and_those_of_its_folders(project: Write) -> None:
    declared = project(dependencies=["./agents", "httpx>=0.28"])
    requirements = str(declared.config.parent / "agents" / "requirements.txt")
    assert declared.requirements() == ["httpx>=0.28", "-r", requirements]


def test_a_folders_pyproject_says_what_it_requires(project: Write) -> None:
    declared = project(dependencies=["./agents"])
    folder = declared.config.parent / "agents"
    (folder / "requirements.txt").unlink()
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["httpx"]\n')
    assert declared.requirements() == ["httpx"]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"dependencies": ["./nowhere"]}, r"names \./nowhere, which does not exist"),
        ({"dependencies": [".."]}, r"names \.\., which lies outside of its folder"),
        ({"env": "missing.env"}, r"names missing\.env, which does not exist"),
    ],
)
def test_what_cannot_be_shipped_is_named(
    project: Write, tmp_path: Path, declared: dict[str, Any], message: str
) -> None:
    with pytest.raises(BuildError, match=message):
        copy_project(project(**declared), tmp_path / "copy")


@pytest.mark.parametrize(("text", "message"), [(None, "there is no"), ("{", "is not JSON")])
def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    config = tmp_path / "langgraph.json"
    if text is not None:
        config.write_text(text)
    with pytest.raises(BuildError, match=f"langgraph.json.*{message}|{message}.*langgraph.json"):
        Project.load(config)


def test_this_repositorys_project_is_its_graphs_and_not_the_service(tmp_path: Path) -> None:
    files = copied(Project.load(ROOT / "langgraph.json"), tmp_path / "copy")
    assert {"langgraph.json", "examples/agent.py"} <= files
    assert {Path(file).parts[0] for file in files} == {"langgraph.json", "examples"}


def test_the_service_requires_everything_but_what_lambda_brings() -> None:
    names = " ".join(runtime_requirements())
    assert "langgraph" in names
    assert "mangum" in names
    assert "boto" not in names


def test_packages_are_installed_anew_once_there_is_a_compiler_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.build.compiler", lambda _target: None)
    before = fingerprint([], Target.ARM64)
    monkeypatch.setattr("infra.build.compiler", lambda _target: "python3.13")
    assert fingerprint([], Target.ARM64) != before


def test_packages_are_installed_anew_when_a_requirements_file_changes(project: Write) -> None:
    declared = project(dependencies=["./agents"])
    before = fingerprint(declared.requirements(), Target.ARM64)
    assert fingerprint(declared.requirements(), Target.ARM64) == before
    (declared.config.parent / "agents" / "requirements.txt").write_text("other==1\n")
    assert fingerprint(declared.requirements(), Target.ARM64) != before
    assert len({fingerprint(declared.requirements(), target) for target in Target}) == len(Target)


@pytest.mark.parametrize(
    ("requirement", "metadata", "kept"),
    [
        ("httpx", "Requires-Dist: httpcore", False),
        ("pycryptodome==3.23", "", True),
        ("httpx", "Requires-Dist: pycryptodome>=3", True),
        ("httpx", "Requires-Dist: pycryptodome; extra == 'aes'", False),
        ("pycryptodomex", "Requires-Dist: pycryptodome-extras", False),
        ("httpx", "Name: PyCryptodome\n\nPyCryptodome is a package", False),
    ],
)
def test_what_only_others_use_of_a_package_is_shipped_only_with_them(
    tmp_path: Path, requirement: str, metadata: str, kept: bool
) -> None:
    for file in ("Crypto/PublicKey/RSA.py", "Crypto/Cipher/AES.py", "some.dist-info/METADATA", "boto3/session.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(metadata)
    prune(tmp_path, [*runtime_requirements(), requirement])
    assert (tmp_path / "Crypto" / "Cipher" / "AES.py").exists()
    assert (tmp_path / "Crypto" / "PublicKey" / "RSA.py").exists() == kept
    assert not (tmp_path / "boto3").exists()


def test_a_library_without_what_no_loader_reads_works_as_before(tmp_path: Path) -> None:
    before = Path(importlib.import_module("zstandard.backend_c").__file__ or "")
    after = tmp_path / before.name
    shutil.copy(before, after)
    for _ in range(2):  # one that is stripped stays as it is
        strip(after)
        size = after.stat().st_size
        assert after.read_bytes().startswith(ELF_64_LITTLE_ENDIAN)
    assert size < before.stat().st_size / 2
    script = "import sys, backend_c; print(backend_c.__file__, backend_c.ZstdCompressor().compress(b'x' * 1000).hex())"
    loaded = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(tmp_path)}, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == [str(after), zstandard.ZstdCompressor().compress(b"x" * 1000).hex()]


def test_what_is_no_library_is_left_alone(tmp_path: Path) -> None:
    (path := tmp_path / "names.so.txt").write_text("no ELF")
    strip(path)
    assert path.read_text() == "no ELF"


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize(("target", "machine"), [(Target.ARM64, 183), (Target.X86_64, 62)])
def test_the_artefact_for_lambda_is_of_its_processor_python_3_13_and_below_70_mb(
    tmp_path: Path, target: Target, machine: int
) -> None:
    build(tmp_path / "artefact", ROOT / "langgraph.json", target)
    libraries = list((tmp_path / "artefact").rglob("*.so"))
    # An ELF header's e_machine, at offset 18.
    assert {library.read_bytes()[18] for library in libraries} == {machine}
    assert not [name for library in libraries if "cpython-" in (name := library.name) and "cpython-313-" not in name]
    if compiler(target) is None:  # another Python's .pyc are as large, to a few per cent
        compileall.compile_dir(tmp_path / "artefact", quiet=2)
    size = sum(path.stat().st_size for path in (tmp_path / "artefact").rglob("*") if path.is_file())
    print(f"{size / 1e6:.1f} MB")
    assert size < 70_000_000
