"""Fills a Lambda artefact: runtime packages, the handler, and the project that langgraph.json names.

| in the artefact        | from                                                                         |
|------------------------|------------------------------------------------------------------------------|
| packages, at the root  | pyproject.toml's dependencies and the project's own, under constraints.txt   |
| handler/               | the service                                                                  |
| project/               | langgraph.json, its graphs, its local dependencies and the env file it names |
| run.sh                 | what starts the stream function                                              |

`sam build` comes here through the Makefile's build-… targets. Only the standard library and pip are needed.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGES = ROOT / ".aws-sam" / "packages"
"""Installed packages, one folder per target and set of requirements, so that an edit of the code installs nothing."""

PACKAGES_KEPT = 3
"""How many sets of requirements keep their folder, so that two projects do not install in turns."""

LAMBDA_PYTHON = "3.13"
"""The interpreter of template.yaml's Runtime."""

GLIBCS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""What the runtime's Amazon Linux 2023 (glibc 2.34) can load."""

BROUGHT_BY_LAMBDA = ("boto3", "botocore", "s3transfer")
"""Left out of the artefact: the managed runtime has them, and they outweigh all else."""

NEVER_IMPORTED = ("bin", "*-stubs", "Crypto/SelfTest", "zstandard/_cffi.*.so", "zstandard/backend_cffi.py")
"""Scripts, types for type checkers, pycryptodome's tests, and zstandard's second backend, which CPython never takes."""

ASYMMETRIC = ("Crypto/IO", "Crypto/Math", "Crypto/Protocol", "Crypto/PublicKey", "Crypto/Signature")
"""What pycryptodome has beyond AES, which encrypts checkpoints (6 MB); left out unless somebody else requires it."""

ELF_64_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
LOADED = 1
"""The type of a segment that is mapped into memory (PT_LOAD)."""

NEVER_SHIPPED = ("__pycache__", "node_modules", "*.pyc", "*.egg-info")
OWN_FOLDERS = ("docs", "handler", "infra", "tests")
"""No part of a project that lives at the root of this repository, and neither are the files beside them."""


class Target(StrEnum):
    """Where the artefact is to run."""

    ARM64 = "arm64"
    """Lambda's Python 3.13 on arm64, whatever machine builds it."""

    X86_64 = "x86_64"
    """The same on x86_64."""

    HOST = "host"
    """The interpreter that runs this script: for the emulator's tests."""

    def platforms(self) -> list[str]:
        """The platforms whose wheels the target can load, as pip names them; none: whatever runs here."""
        machine = {Target.ARM64: "aarch64", Target.X86_64: "x86_64"}.get(self)
        return [f"{glibc}_{machine}" for glibc in GLIBCS] if machine else []


class BuildError(Exception):
    """The artefact cannot be built; the message says what to change."""


@dataclass(frozen=True)
class Project:
    """A folder with a langgraph.json."""

    config: Path
    declared: dict[str, Any]

    @classmethod
    def load(cls, config: Path) -> "Project":
        """Read langgraph.json."""
        try:
            return cls(config.resolve(), json.loads(config.read_text()))
        except FileNotFoundError:
            raise BuildError(f"there is no {config}") from None
        except ValueError as error:
            raise BuildError(f"{config} is not JSON: {error}") from None

    def path(self, relative: str) -> Path:
        """A path that langgraph.json names, which must lie in its folder: the artefact keeps the folder's shape."""
        path = (self.config.parent / relative).resolve()
        if not path.exists():
            raise BuildError(f"{self.config.name} names {relative}, which does not exist")
        if not path.is_relative_to(self.config.parent):
            raise BuildError(f"{self.config.name} names {relative}, which lies outside of its folder")
        return path

    def folders(self) -> list[Path]:
        """The local dependencies: `.` or `./name`."""
        return [self.path(entry) for entry in self.declared.get("dependencies", []) if entry.startswith(".")]

    def requirements(self) -> list[str]:
        """The dependencies that are no folder, and what the folders' requirements.txt or pyproject.toml requires."""
        found = [entry for entry in self.declared.get("dependencies", []) if not entry.startswith(".")]
        for folder in self.folders():
            if folder == ROOT:
                continue
            if (folder / "requirements.txt").exists():
                found += ["-r", str(folder / "requirements.txt")]
            elif (folder / "pyproject.toml").exists():
                found += declared_dependencies(folder / "pyproject.toml")
        return found

    def files(self) -> list[Path]:
        """The single files: the configuration, each `path.py:name` that it names, and the env file."""
        graphs = [entry if isinstance(entry, str) else entry["path"] for entry in self.declared["graphs"].values()]
        app = (self.declared.get("http") or {}).get("app")
        embed = ((self.declared.get("store") or {}).get("index") or {}).get("embed")
        named = [entry for entry in (*graphs, app, embed) if isinstance(entry, str)]
        env = [self.declared["env"]] if isinstance(self.declared.get("env"), str) else []
        sources = [entry.rpartition(":")[0] for entry in named]
        # `package.module:name` and `provider:model` name no file: what they are imported from is a dependency.
        files = [entry for entry in sources if "/" in entry or entry.endswith(".py")]
        return [self.config, *(self.path(entry) for entry in files + env)]


def declared_dependencies(pyproject: Path) -> list[str]:
    """The dependencies of a pyproject.toml."""
    dependencies: list[str] = tomllib.loads(pyproject.read_text()).get("project", {}).get("dependencies", [])
    return dependencies


def runtime_requirements() -> list[str]:
    """The service's own dependencies but for what Lambda brings, and the server of the stream function."""
    return [
        entry
        for entry in [*declared_dependencies(ROOT / "pyproject.toml"), "uvicorn"]
        if re.split(r"[^A-Za-z0-9_.-]", entry, maxsplit=1)[0] not in BROUGHT_BY_LAMBDA
    ]


def fingerprint(requirements: list[str], target: Target) -> str:
    """A name that changes with whatever decides what pip installs."""
    parts = [target, sys.version if target is Target.HOST else LAMBDA_PYTHON, CONSTRAINTS.read_text()]
    parts += [Path(entry).read_text() if Path(entry).is_absolute() else entry for entry in requirements]
    parts += [Path(__file__).read_text(), "compiled" if compiler(target) else "not compiled"]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def installed_packages(requirements: list[str], target: Target) -> Path:
    """A folder with the requirements installed, pruned and compiled; made once per fingerprint."""
    ready = PACKAGES / f"{target}-{fingerprint(requirements, target)}"
    if ready.exists():
        return ready
    PACKAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PACKAGES) as folder:
        fresh = Path(folder) / "packages"
        install(requirements, fresh, target)
        prune(fresh, requirements)
        for path in fresh.rglob("*.so*"):
            if path.is_file():
                strip(path)
        compile_sources(fresh, target)
        fresh.rename(ready)
    for stale in sorted(PACKAGES.glob(f"{target}-*"), key=lambda path: path.stat().st_mtime)[:-PACKAGES_KEPT]:
        shutil.rmtree(stale, ignore_errors=True)
    return ready


def install(requirements: list[str], folder: Path, target: Target) -> None:
    """Install with pip; for Lambda only wheels of its platform, since nothing can be compiled for it here."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--target", str(folder), "--constraint", str(CONSTRAINTS)]
    if platforms := target.platforms():
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", LAMBDA_PYTHON]
        command += [f"--platform={platform}" for platform in platforms]
    if subprocess.run([*command, *requirements], check=False).returncode:
        raise BuildError("pip could not install the requirements (its own message is above)")


def prune(folder: Path, requirements: list[str]) -> None:
    """Remove what Lambda brings, what no interpreter reads, and what nothing here is for."""
    unused = () if other_requirers("pycryptodome", folder, requirements) else ASYMMETRIC
    brought = [pattern for name in BROUGHT_BY_LAMBDA for pattern in (name, f"{name}-*.dist-info")]
    for pattern in [*brought, *NEVER_IMPORTED, *unused]:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    for path in folder.rglob("*.pyi"):
        path.unlink()


def strip(library: Path) -> None:
    """Cut off what no loader reads of a shared library, such as debug information: no `strip` knows both processors."""
    data = bytearray(library.read_bytes())
    if not data.startswith(ELF_64_LITTLE_ENDIAN):
        return
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<I4xQ16xQ", data, table + n * size) for n in range(count)]
    del data[max(offset + length for kind, offset, length in segments if kind == LOADED) :]
    # The table of sections went with them: it is nowhere, and has no entries.
    struct.pack_into("<Q", data, 40, 0)
    struct.pack_into("<HH", data, 60, 0, 0)
    library.write_bytes(data)


def other_requirers(package: str, folder: Path, requirements: list[str]) -> list[str]:
    """Who requires a package of the service's own besides it: the project or an installed package."""
    texts = {entry: entry for entry in requirements if entry not in runtime_requirements()}
    texts |= {entry: Path(entry).read_text() for entry in requirements if Path(entry).is_absolute()}
    for path in folder.glob("*.dist-info/METADATA"):
        needs = re.findall(r"(?m)^Requires-Dist: *(.*)$", path.read_text().partition("\n\n")[0])
        texts[path.parent.name] = "\n".join(needs)
    asks = re.compile(rf"(?im)^{re.escape(package)}\b(?!-)(?!.*\bextra\s*==)")
    return [name for name, text in texts.items() if asks.search(text)]


def compile_sources(folder: Path, target: Target) -> None:
    """Write .pyc files that are never checked against their sources: reading them is half of a cold start saved."""
    python = compiler(target)
    if python is None:
        print(f"no Python {LAMBDA_PYTHON} here (set LAMBDA_PYTHON): shipped without .pyc, cold starts take longer")
        return
    command = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    # The artefact's bytes, and so its upload, must not depend on the folder it was built in.
    command += ["-s", str(folder), "-p", "/var/task", str(folder)]
    # Packages may ship files for other versions of Python; one that nobody can import need not compile.
    subprocess.run(command, check=False)


def compiler(target: Target) -> str | None:
    """An interpreter that writes the .pyc files of the target's Python; None: there is none here."""
    if target is Target.HOST:
        return sys.executable
    for python in (os.environ.get("LAMBDA_PYTHON"), sys.executable, f"python{LAMBDA_PYTHON}"):
        if python and shutil.which(python):
            ask = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            answer = subprocess.run(ask, check=False, capture_output=True, text=True)
            if answer.stdout.strip() == LAMBDA_PYTHON:
                return python
    return None


def unshipped() -> Callable[[str, list[str]], set[str]]:
    """An `ignore` for copytree: caches, virtual environments, what is hidden, and this repository's own folders."""
    patterns = shutil.ignore_patterns(*NEVER_SHIPPED)

    def ignore(folder: str, names: list[str]) -> set[str]:
        ignored = patterns(folder, names)
        for name in names:
            path = Path(folder, name)
            hidden = name.startswith(".")
            own = path.parent == ROOT and (name in OWN_FOLDERS or path.is_file())
            if hidden or own or (path / "pyvenv.cfg").exists():
                ignored.add(name)
        return ignored

    return ignore


def copy_project(project: Project, into: Path) -> None:
    """Copy what langgraph.json names, keeping the shape of its folder."""
    home = project.config.parent
    for folder in project.folders():
        shutil.copytree(folder, into / folder.relative_to(home), ignore=unshipped(), dirs_exist_ok=True)
    for file in project.files():
        copy = into / file.relative_to(home)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)


def build(artefact: Path, config: Path, target: Target) -> None:
    """Fill the artefact's folder."""
    project = Project.load(config)
    packages = installed_packages([*runtime_requirements(), *project.requirements()], target)
    artefact.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "sources"
        shutil.copytree(ROOT / "handler", sources / "handler", ignore=shutil.ignore_patterns(*NEVER_SHIPPED))
        copy_project(project, sources / "project")
        shutil.copy2(ROOT / "infra" / "run.sh", sources)
        compile_sources(sources, target)
        shutil.copytree(packages, artefact, dirs_exist_ok=True)
        shutil.copytree(sources, artefact, dirs_exist_ok=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--config", type=Path, default=ROOT / "langgraph.json")
    parser.add_argument("--target", type=Target, default=Target.ARM64)
    arguments = parser.parse_args()
    try:
        build(arguments.artefact, arguments.config, arguments.target)
    except BuildError as error:
        sys.exit(f"build: {error}")


if __name__ == "__main__":
    main()
