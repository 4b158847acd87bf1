"""Metrics of several processes as one page: every series says which worker it is of, sums are the reader's."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from execution_platform import _json


class Family(msgspec.Struct, frozen=True, array_like=True):
    """One metric with its samples: name, labels, value."""

    name: str
    text: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


def families(registry: CollectorRegistry) -> list[Family]:
    """What a registry holds now."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [(sample.name, dict(sample.labels), sample.value) for sample in metric.samples],
        )
        for metric in registry.collect()
    ]


def packed(found: Sequence[Family]) -> bytes:
    """Families for another process."""
    return _json.dumps(found)


def unpacked(data: bytes) -> list[Family]:
    """Families from another process. Raises `ValueError` when they are none."""
    return list(msgspec.convert(_json.loads(data), list[Family]))


class _Merged(CollectorRegistry):
    """The families of all workers, under one name each."""

    def __init__(self, workers: Mapping[str, Sequence[Family]]) -> None:
        super().__init__(auto_describe=False)
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """One metric for each name."""
        merged: dict[str, Metric] = {}
        for worker, found in self._workers.items():
            for family in found:
                metric = merged.get(family.name)
                if metric is None:
                    metric = merged[family.name] = Metric(family.name, family.text, family.kind)
                metric.samples += [
                    Sample(name, {**labels, "worker": worker}, value) for name, labels, value in family.samples
                ]
        yield from merged.values()


def render(workers: Mapping[str, Sequence[Family]]) -> bytes:
    """The text exposition format of all workers, with the label `worker`."""
    return generate_latest(_Merged(workers))
