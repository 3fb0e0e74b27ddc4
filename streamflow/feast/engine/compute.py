"""Feast's own plan for a view that it has to compute or convert, with what is ours in it.

Feast reads the source, transforms and filters in pandas, keeps the newest row of each entity and
writes. Of rows of the same times pandas keeps any, so here all of them stay for whoever writes to
decide; where nothing is computed, PostgreSQL finds the newest rows itself, as a training set does.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.compute_engines.backends.base import DataFrameBackend
from feast.infra.compute_engines.dag.context import ColumnInfo, ExecutionContext
from feast.infra.compute_engines.local.arrow_table_value import ArrowTableValue
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.nodes import (
    LocalDedupNode,
    LocalOutputNode,
    LocalSourceReadNode,
)
from feast.infra.registry.base_registry import BaseRegistry
from feast.utils import _convert_arrow_to_proto

from streamflow.catalog.layout import NO_KEY
from streamflow.feast.offline.store import StreamflowOfflineStore
from streamflow.feast.online.rows import FeastRow
from streamflow.feast.sources import own_names

BATCH_ROWS = 10_000
"""Rows that become Feast's protobuf at a time, which takes far more memory than Arrow."""

COMPUTED = ("feature_transformation", "aggregations", "filter", "source_views", "udf")
"""The attributes of a view whose values are not just its source's columns."""

Write = Callable[[Iterable[FeastRow]], Any]


def computed_by(view: Any) -> str:
    """The first attribute by which Feast has to compute a view's values; empty for none."""
    return next((name for name in COMPUTED if getattr(view, name, None)), "")


def run(
    context: ExecutionContext,
    registry: BaseRegistry,
    task: MaterializationTask,
    backend: DataFrameBackend,
    write: Write,
) -> None:
    """Computes the task's rows as Feast does and hands them to `write`, all in one call.

    A view that is written offline as well is so afterwards.
    """
    Plan(registry, task, backend, context, write).build().execute(context)


class Plan(LocalFeatureBuilder):
    """Feast's plan with other nodes where it reads, drops and writes rows."""

    def __init__(
        self,
        registry: BaseRegistry,
        task: MaterializationTask,
        backend: DataFrameBackend,
        context: ExecutionContext,
        write: Write,
    ) -> None:
        super().__init__(registry, task, backend)
        self.context, self.write = context, write

    def build_source_node(self, view: Any) -> Any:
        """Reads the newest rows alone where neither this view nor Feast's engine needs others."""
        is_ours = isinstance(self.context.offline_store, StreamflowOfflineStore)
        node = NewestRows if is_ours and not computed_by(view) else AllRows
        return self._added(node(view, self.get_column_info(view), self.task))

    def build_dedup_node(self, view: Any, input_node: Any) -> Any:
        """Drops older rows."""
        info = self.get_column_info(view)
        return self._added(WithoutOlder("dedup", info, self.backend, inputs=[input_node]))

    def build_output_nodes(self, view: Any, input_node: Any) -> Any:
        """Writes what is left."""
        return self._added(Output(self.dag_root.view, self.write, [input_node]))

    def _added(self, node: Any) -> Any:
        self.nodes.append(node)
        return node


class AllRows(LocalSourceReadNode):
    """All rows of the window but those with a null in a key, which are nobody's."""

    def __init__(self, view: Any, info: ColumnInfo, task: MaterializationTask) -> None:
        super().__init__("source", view.batch_source, info, task.start_time, task.end_time)
        self.view = view

    def execute(self, context: ExecutionContext) -> ArrowTableValue:
        """Reads the rows, under the view's names."""
        table = self.read(context)
        for key in self.column_info.join_keys_columns:
            table = table.filter(table[key].is_valid())
        return ArrowTableValue(table.combine_chunks())

    def read(self, context: ExecutionContext) -> pa.Table:
        """The rows with null keys among them."""
        return super().execute(context).data


class NewestRows(AllRows):
    """The newest row of each entity, found by PostgreSQL."""

    def read(self, context: ExecutionContext) -> pa.Table:
        """The rows with null keys among them."""
        mapping = self.column_info.field_mapping or {}
        own = own_names(self.source)
        job = StreamflowOfflineStore.pull_latest_from_table_or_query(
            context.repo_config,
            self.source,
            self.column_info.join_keys,
            [name for name in self.column_info.feature_cols if name != NO_KEY],
            self.column_info.ts_col,
            self.column_info.created_ts_col,
            self.start_time,
            self.end_time,
            types={
                own.get(one.name, one.name): one.dtype.to_value_type().name
                for one in self.view.features
            },
        )
        table = job.to_arrow()
        return table.rename_columns([mapping.get(name, name) for name in table.column_names])


class WithoutOlder(LocalDedupNode):
    """The newest rows of each entity: several where their times are the same."""

    def execute(self, context: ExecutionContext) -> ArrowTableValue:
        """Keeps the rows with the newest event time and, of those, the newest created time."""
        table = self.get_single_table(context).data
        keys, info = self.column_info.join_keys_columns, self.column_info
        times = [info.timestamp_column, info.created_timestamp_column]
        for time in times:
            if keys and time in table.column_names and table.num_rows:
                table = table.filter(newest(table, keys, time))
        return ArrowTableValue(table)


def newest(table: pa.Table, keys: list[str], time: str) -> pa.Array:
    """A mask of the rows with the newest time of their keys; all rows of a key without times."""
    frame = table.select(list(dict.fromkeys([*keys, time]))).to_pandas()
    latest = frame.groupby(keys, dropna=False)[time].transform("max")
    return pa.array((frame[time] == latest) | latest.isna())


class Output(LocalOutputNode):
    """Hands the rows over, and writes them offline where the view says so."""

    def __init__(self, view: Any, write: Write, inputs: list[Any]) -> None:
        super().__init__("output", view, inputs=inputs)
        self.write = write

    def execute(self, context: ExecutionContext) -> ArrowTableValue:
        """Writes online first: what may fail for its values does so before anything else.

        Rows of a view that computes nothing are in its table already.
        """
        table = self.get_single_table(context).data
        if table.num_rows and self.feature_view.online:
            self.write(self.rows(table))
        if table.num_rows and self.feature_view.offline and computed_by(self.feature_view):
            context.offline_store.offline_write_batch(
                context.repo_config, self.feature_view, table, lambda _: None
            )
        return ArrowTableValue(table)

    def rows(self, table: pa.Table) -> Iterator[FeastRow]:
        """The rows in Feast's protobuf, as the provider hands them over."""
        keys = {one.name: one.dtype.to_value_type() for one in self.feature_view.entity_columns}
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            yield from _convert_arrow_to_proto(batch, self.feature_view, keys)
