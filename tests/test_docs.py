"""The documentation is true: its Python runs, its configuration is valid, its links lead somewhere, its lists are complete."""

import asyncio
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from execution_platform.config.files import parse_config
from execution_platform.config.resolve import resolve
from execution_platform.config.settings import Settings
from execution_platform.config.yaml import load_yaml
from execution_platform.providers.registry import specs
from execution_platform.router.table import RoutingTable
from execution_platform.workflow.reading import workflow_of
from serving import serving

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
TRUST = ROOT / "docs" / "reference" / "_trust.toml"
EXAMPLE = ROOT / "examples" / "platform.yaml"
GATEWAY = "http://127.0.0.1:8000"
VENDOR_PYTHON = ROOT / ".venv-vendor" / "bin" / "python"
VENDOR = "run with the vendors' SDKs"
SECONDS = 60.0

_FENCE = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    mark: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    source = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(source):
        line = source.count("\n", 0, found.start("text")) + 1
        yield Block(page, line, found["language"], found["mark"] or "", found["text"])


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def script(page: Path, *, vendor: bool) -> str:
    """The page's blocks that run in one interpreter, as one program whose line numbers are those of the page."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language == "python" and not block.mark.startswith("not run:") and (block.mark == VENDOR) is vendor:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.text.splitlines()
    return "\n".join(lines)


PLAIN_PAGES = [page for page in PAGES if script(page, vendor=False)]
VENDOR_PAGES = [page for page in PAGES if script(page, vendor=True)]


async def run(program: str, python: str, folder: Path) -> str:
    """The output of `program`, for which a gateway with simulated providers is running."""
    async with serving(folder, environ={"EP_PROVIDER": "mock"}) as served:
        environ = {**os.environ, "EP_PROVIDER": "mock", "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "default"}
        process = await asyncio.create_subprocess_exec(
            python, "-c", program.replace(GATEWAY, served.url), cwd=folder, env=environ,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("page", PLAIN_PAGES, ids=name_of)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    output = asyncio.run(run(script(page, vendor=False), sys.executable, tmp_path))
    assert "print(" not in script(page, vendor=False) or output.strip()


@pytest.mark.skipif(not VENDOR_PYTHON.exists(), reason="the vendors' SDKs are installed by make test")
@pytest.mark.parametrize("page", VENDOR_PAGES, ids=name_of)
def test_the_vendors_sdks_work_as_a_page_shows(page: Path, tmp_path: Path) -> None:
    output = asyncio.run(run(script(page, vendor=True), str(VENDOR_PYTHON), tmp_path))
    assert output.count("Say hello") == 3


def test_every_page_of_the_readme_is_there_to_run() -> None:
    assert ROOT / "README.md" in PLAIN_PAGES
    assert ROOT / "README.md" in VENDOR_PAGES


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_is_only_left_out_with_a_reason(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python" and block.mark not in ("", VENDOR):
            assert re.fullmatch(r"not run: .{10,}", block.mark), f"{name_of(page)}:{block.line}"


CONFIGURATIONS = [block for page in PAGES for block in blocks(page) if block.text.startswith("# platform.yaml\n")]


@pytest.mark.parametrize("block", CONFIGURATIONS, ids=lambda block: f"{name_of(block.page)}:{block.line}")
def test_a_configuration_on_a_page_is_valid(block: Block) -> None:
    assert resolve(parse_config(block.text), Settings({}), specs()).version_id


WORKFLOWS = [block for page in PAGES for block in blocks(page) if block.text.startswith("# workflow.yaml\n")]


@pytest.mark.parametrize("block", WORKFLOWS, ids=lambda block: f"{name_of(block.page)}:{block.line}")
def test_a_workflow_on_a_page_is_valid(block: Block) -> None:
    assert workflow_of(load_yaml(block.text)).phases


def test_every_yaml_block_is_a_configuration_or_a_workflow() -> None:
    yaml_blocks = [block for page in PAGES for block in blocks(page) if block.language == "yaml"]
    assert [block for block in yaml_blocks if block not in CONFIGURATIONS] == WORKFLOWS
    assert len(CONFIGURATIONS) > 5


def anchors(page: Path) -> set[str]:
    titles = [found["title"] for found in _HEADING.finditer(page.read_text(encoding="utf-8"))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    for found in _LINK.finditer(source):
        target, _, anchor = found["target"].partition("#")
        if "://" in target:
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.is_file(), f"{name_of(page)}: {found['target']} is not there"
        assert not anchor or anchor in anchors(place), f"{name_of(page)}: {found['target']} has no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, left = set[Path](), [ROOT / "README.md", ROOT / "docs" / "README.md"]
    while left:
        page = left.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = (found["target"].partition("#")[0] for found in _LINK.finditer(page.read_text(encoding="utf-8")))
        left += [(page.parent / target).resolve() for target in targets if target and "://" not in target]
    assert set(PAGES) <= reached


def test_every_response_header_is_documented() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "src/execution_platform/gateway").rglob("*.py")
    )
    headers = set(re.findall(r'b"(x-(?:ep|request)-[a-z-]+)"', sources))
    page = (ROOT / "docs/reference/http-api.md").read_text(encoding="utf-8")
    assert len(headers) > 8
    assert {header for header in headers if f"`{header}`" not in page} == set()


def test_every_member_of_the_access_log_is_documented() -> None:
    source = (ROOT / "src/execution_platform/gateway/record.py").read_text(encoding="utf-8")
    members = set(re.findall(r'record\["(\w+)"\] =', source)) | set(
        re.findall(r'^        "(\w+)": ', source, re.MULTILINE)
    )
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    assert len(members) > 15
    assert {member for member in members if f"`{member}`" not in page} == set()


def test_a_registry_row_is_at_most_twelve_lines() -> None:
    page = ROOT / "docs/how-to/add-a-compatible-provider.md"
    row = next(block.text for block in blocks(page) if "ProviderSpec(" in block.text)
    call = re.search(r"ProviderSpec\(\n.*?^\)", row, re.DOTALL | re.MULTILINE)
    assert call is not None
    assert call[0].count("\n") + 1 <= 12


def test_the_example_configuration_is_valid_without_a_warning() -> None:
    config = resolve(parse_config(EXAMPLE.read_text(encoding="utf-8")), Settings({}), specs())
    assert RoutingTable(config).problems == ()
    assert config.personas["architect"].chain == ("anthropic", "openai", "embedded")
    assert config.personas["reviewer"].requires["json_mode"] is True


def test_the_floors_of_the_architecture_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract["layers"] for contract in contracts if contract["id"] == "floors"]
    page = ROOT / "docs/explanation/architecture.md"
    (shown,) = [block.text for block in blocks(page) if block.text.startswith("cli\n")]
    assert shown.splitlines() == [re.sub(r"[()]", "", floor) for floor in layers]


def test_every_identifier_of_a_promise_in_the_tests_is_listed() -> None:
    """A test that names an id which is not in the list proves nothing that anybody finds."""
    listed = {name for rows in tomllib.loads(TRUST.read_text(encoding="utf-8")).values() for name in rows}
    assert len(listed) > 150
    courses = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests/chaos").glob("*.py"))
    named = {name for found in re.findall(r'promises="([^"]+)"', courses) for name in found.split()}
    assert named
    assert named <= listed
