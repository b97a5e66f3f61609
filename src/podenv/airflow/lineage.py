"""What OpenLineage's provider for Airflow is told of a task: its values in storage, and the environment that it ran in.

Loaded by that provider alone. A dataset is what one task writes as its first, second … value, over all runs; which
object it is this time is its version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset, InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    RunFacet,
    dataset_version_dataset,
    output_statistics_output_dataset,
    schema_dataset,
    storage_dataset,
)

from podenv.exchange import keys
from podenv.exchange.address import parse
from podenv.exchange.reference import Reference
from podenv.runtime.reference import TABLES, references

if TYPE_CHECKING:
    from podenv.airflow.task import EnvTask

FACET = "podenv_environment"
"""The name of `EnvironmentRunFacet` among the facets of a run."""


@attrs.define
class EnvironmentRunFacet(RunFacet):
    """What a task ran in.

    ``image`` has the digest, and is None on a local backend; ``lock`` is the SHA-256 of the lock, None for an image of
    the task's own; ``python`` such as "3.13".
    """

    environment: str
    image: str | None
    lock: str | None
    python: str | None


def of_start(task: EnvTask) -> OperatorLineage[Dataset, RunFacet]:
    """What ``task`` reads; its arguments are rendered."""
    read = references([*task.op_args, *task.op_kwargs.values()])
    return OperatorLineage(inputs=[_input(one) for one in read if isinstance(one, Reference)])


def of_end(task: EnvTask) -> OperatorLineage[Dataset, RunFacet]:
    """What ``task`` read and wrote, and what it ran in, also where it failed."""
    lineage = of_start(task)
    lineage.outputs = [_output(one) for one in task.written if isinstance(one, Reference)]
    lineage.run_facets = {
        FACET: EnvironmentRunFacet(
            environment=task.env, image=task.pod_image, lock=task.ran_lock, python=task.ran_python
        )
    }
    return lineage


def _input(value: Reference) -> InputDataset:
    return InputDataset(*_name(value), facets=_facets(value))


def _output(value: Reference) -> OutputDataset:
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=value.rows, size=value.bytes
    )
    return OutputDataset(*_name(value), facets=_facets(value), outputFacets={"outputStatistics": statistics})


def _name(value: Reference) -> tuple[str, str]:
    """Namespace and name, as OpenLineage's specification names what lies in such a store."""
    address = parse(value.store, "store")
    place = keys.place_of(value.key)
    own = value.key if place is None else "/".join((place.dag, place.task, value.key.rpartition("/")[2]))
    if address.scheme == "file":
        return "file", f"{address.prefix.rstrip('/')}/{own}"
    return f"{address.scheme}://{address.bucket}", address.below(own).prefix


def _facets(value: Reference) -> dict[str, Any]:
    facets: dict[str, Any] = {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=value.key)}
    if value.schema is not None:
        fields = [schema_dataset.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in value.schema]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
    if value.kind in TABLES:
        layer = parse(value.store, "store").scheme
        facets["storage"] = storage_dataset.StorageDatasetFacet(storageLayer=layer, fileFormat="parquet")
    return facets
