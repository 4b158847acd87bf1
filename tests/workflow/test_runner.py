"""Phases in their order, what they hand on, and what is done again after an interruption."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution_platform.exceptions import ConfigError, RouterError
from execution_platform.workflow import journal as journals
from execution_platform.workflow.journal import Begun, Ended, Journal
from execution_platform.workflow.report import markdown, report
from loops import in_loop, until
from working import Bench, phase, workflow


@in_loop
async def test_each_phase_reads_what_those_before_it_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    flow = workflow(
        {"a": phase("do {{task}}"), "b": phase("after {{a}}"), "c": phase("{{a}} and {{b}}")}, inputs={"task": {}}
    )
    with bench.begin(flow, task="it") as journal:
        assert await bench.carry_out(flow, journal)
    assert [each.task for each in bench.worker.asked] == ["do it", "after ok do it", "ok do it and ok after ok do it"]


@in_loop
async def test_phases_that_wait_for_nobody_work_at_the_same_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    both = asyncio.Barrier(2)
    bench.worker.together = {"left": both, "right": both}
    flow = workflow({"a": phase("left", needs=[]), "b": phase("right", needs=[]), "c": phase("end", needs=["a", "b"])})
    with bench.begin(flow) as journal:
        async with asyncio.timeout(5):
            assert await bench.carry_out(flow, journal)
    assert bench.heard.lines[:2] == ["a begins", "b begins"]
    assert bench.heard.lines[-2:] == ["c begins", "c done"]


@in_loop
async def test_after_a_failed_check_no_other_phase_begins(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.worker.says = lambda asked: "ok" if asked.task == "y" else "done, trust me"
    flow = workflow({"a": phase("x"), "b": phase("y", needs=[]), "c": phase("z", needs=["b"]), "d": phase("z")})
    with bench.begin(flow) as journal:
        assert not await bench.carry_out(flow, journal)
        assert sorted(bench.heard.lines) == ["a begins", "a unchecked", "b begins", "b done"]
        told = report(journal.story, flow)
    assert told.status == "failed"
    assert told.configurations[0].phases[0].problem == "the answer does not contain 'ok'"


@in_loop
async def test_a_phase_whose_result_was_refused_begins_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    answers = iter(["ok", "no", "ok"])
    bench.worker.says = lambda asked: next(answers)
    flow = workflow({"a": phase("x"), "b": phase("y")})
    with bench.begin(flow) as journal:
        assert not await bench.carry_out(flow, journal)
        assert await bench.carry_out(flow, journal)
        told = report(journal.story, flow)
    assert [each.task for each in bench.worker.asked] == ["x", "y", "y"]
    assert bench.worker.gone_on == []
    assert (told.status, told.configurations[0].input_tokens, told.configurations[0].cost_usd) == ("done", 30, 0.75)


@in_loop
async def test_a_phase_whose_run_failed_goes_on_with_its_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.worker.broken = {"y"}
    flow = workflow({"a": phase("x"), "b": phase("y")})
    with bench.begin(flow) as journal:
        workflow_id = journal.story.opening.id
        assert not await bench.carry_out(flow, journal)
        told = report(journal.story, flow).configurations[0]
        assert (told.phases[1].status, told.phases[1].problem) == ("failed", "the provider is away")
        assert told.cost_usd == 0.35
    with Journal.open(tmp_path / "journals", workflow_id) as journal:
        assert await bench.carry_out(flow, journal)
        told = report(journal.story, flow).configurations[0]
    assert bench.worker.gone_on == ["run_2"]
    assert told.phases[1].runs == ["run_2"]
    assert told.cost_usd == 0.5


@in_loop
async def test_an_interruption_leaves_the_phase_to_whoever_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.worker.together = {"y": asyncio.Barrier(2)}
    flow = workflow({"a": phase("x"), "b": phase("y")})
    with bench.begin(flow) as journal:
        task = asyncio.get_running_loop().create_task(bench.carry_out(flow, journal))
        await until(
            lambda: any(isinstance(line, Begun) and line.phase == "b" for line in journal.story.lines), within=5
        )
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert report(journal.story, flow).status == "unfinished"
        assert await bench.carry_out(flow, journal)
    assert [each.task for each in bench.worker.asked] == ["x", "y"]
    assert bench.worker.gone_on == ["run_2"]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_no_phase_begins_before_those_it_needs(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    names = [f"p{place}" for place in range(data.draw(st.integers(1, 6)))]
    needs = {
        name: data.draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        for place, name in enumerate(names)
    }
    written = data.draw(st.permutations(names))
    flow = workflow({name: phase(name, needs=needs[name]) for name in written})
    bench = Bench(tmp_path_factory.mktemp("flow"))

    async def story() -> None:
        with bench.begin(flow) as journal:
            assert await bench.carry_out(flow, journal)

    asyncio.run(story())
    lines = bench.heard.lines
    for name in names:
        assert all(lines.index(f"{need} done") < lines.index(f"{name} begins") for need in needs[name])
    assert len(bench.worker.asked) == len(names)


def _story(bench: Bench, flow: Any) -> str:
    async def work() -> str:
        with bench.begin(flow) as journal:
            await bench.carry_out(flow, journal)
            return journal.story.opening.id

    return asyncio.run(work())


def test_a_line_that_was_cut_does_not_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    flow = workflow({"a": phase("x"), "b": phase("y")})
    workflow_id = _story(bench, flow)
    file = tmp_path / "journals" / f"{workflow_id}.jsonl"
    whole = file.read_bytes()
    for end in range(whole.index(b"\n") + 1, len(whole)):
        file.write_bytes(whole[:end])
        with Journal.open(tmp_path / "journals", workflow_id) as journal:
            done = {name for name, line in journal.story.last("default").items() if isinstance(line, Ended)}
            assert done <= {"a", "b"}
            journal.write(Begun(configuration="default", phase="z", run="r", at=journals.utc()))
        story = journals.read(tmp_path / "journals", workflow_id)
        assert story.last("default")["z"].run == "r"


def test_two_processes_do_not_write_one_journal(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    flow = workflow({"a": phase("x")})
    with bench.begin(flow) as journal:
        workflow_id = journal.story.opening.id
        with pytest.raises(ConfigError, match="another process"):
            Journal.open(tmp_path / "journals", workflow_id)
    for name in ("wf_none", "../../etc/passwd"):
        with pytest.raises(RouterError, match="there is no workflow"):
            Journal.open(tmp_path / "journals", name)
    assert oct((tmp_path / "journals" / f"{workflow_id}.jsonl").stat().st_mode & 0o777) == "0o600"


def test_the_report_in_markdown_cannot_be_broken_by_what_models_wrote(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.worker.says = lambda asked: "no"
    flow = workflow({"a": phase("x", checks=[{"contains": "a|b\n<script>"}])})
    workflow_id = _story(bench, flow)
    text = markdown(report(journals.read(tmp_path / "journals", workflow_id), flow))
    row = next(line for line in text.splitlines() if line.startswith("| a "))
    assert row.replace("\\|", "").count("|") == 9
    assert "<script" not in text
