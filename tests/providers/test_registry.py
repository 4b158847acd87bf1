"""The rows of the registry, and rows that other packages add."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from execution_platform.dialects import NAMES
from execution_platform.providers.registry import specs

PACKAGE = Path(__file__).parents[1] / "third_party" / "acme_provider"
SOURCE = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize("spec", specs().values(), ids=lambda spec: spec.kind)
def test_a_row_names_a_known_dialect_and_where_its_key_comes_from(spec) -> None:
    assert spec.dialect in (*NAMES, "")
    if spec.needs_key:
        assert spec.key_env
    if spec.base_url is not None:
        assert spec.base_url.startswith(("https://", "http://127.0.0.1:"))


def test_compatible_vendors_are_rows_of_at_most_twelve_lines() -> None:
    source = (SOURCE / "execution_platform" / "providers" / "registry.py").read_text()
    rows = source.split("    ProviderSpec(\n")[1:]
    lengths = {row.split('"')[1]: row.split("\n    ),")[0].count("\n") + 3 for row in rows}
    compatible = {spec.kind for spec in specs().values() if spec.dialect == "openai_chat" and spec.build is None}
    assert {kind: lengths[kind] for kind in compatible & set(lengths) if lengths[kind] > 12} == {}


def install(folder: Path, entry: str) -> dict[str, str]:
    """Lay the package out as an installer would: the module, and its metadata beside it."""
    (folder / "acme_provider.py").write_text((PACKAGE / "acme_provider.py").read_text())
    info = folder / "acme_provider-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-provider\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[execution_platform.providers]\n{entry}\n")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{SOURCE}", "PATH": os.environ["PATH"], "ACME_API_KEY": "k-acme"}


def run(code: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False)


def test_an_installed_package_adds_a_provider_that_routes(tmp_path: Path) -> None:
    code = (
        "from execution_platform.config.settings import Settings\n"
        "from execution_platform.router import PersonaRouter\n"
        "router = PersonaRouter(policy={'personas': {'dev': {'prefer': ['acme']}}}, settings=Settings())\n"
        "print(router.route(None, 'dev').targets[0])\n"
    )
    done = run(code, install(tmp_path, "acme = acme_provider:SPEC"))
    assert done.stdout.strip() == "acme/acme-large", done.stderr


def test_an_installed_package_may_not_replace_a_built_in_kind(tmp_path: Path) -> None:
    done = run(
        "from execution_platform.providers.registry import specs; specs()", install(tmp_path, "x = acme_provider:RIVAL")
    )
    assert done.returncode == 1
    assert "takes the name of the built-in kind openai" in done.stderr
