"""Feast's protobuf messages of feature views and services, as far as they are read here.

Feast's own classes of them come with the import of Feast, which takes seconds. The numbers of the
fields are Feast's (a test compares them); what a message has beside these stays in it, byte for
byte, when it is written back.
"""

from collections.abc import Iterable
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message_factory,
    timestamp_pb2,
)

PACKAGE = "streamflow.registry"
DURATION = f".{duration_pb2.Duration.DESCRIPTOR.full_name}"
TIMESTAMP = f".{timestamp_pb2.Timestamp.DESCRIPTOR.full_name}"

FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "FeatureView": {"spec": (1, "FeatureViewSpec"), "meta": (2, "FeatureViewMeta")},
    "StreamFeatureView": {"spec": (1, "StreamFeatureViewSpec"), "meta": (2, "FeatureViewMeta")},
    "FeatureViewSpec": {
        "name": (1, "string"),
        "entities": (3, "string[]"),
        "features": (4, "FeatureSpecV2[]"),
        "tags": (5, "Mapping[]"),
        "ttl": (6, DURATION),
        "batch_source": (7, "DataSource"),
        "online": (8, "bool"),
        "description": (10, "string"),
        "owner": (11, "string"),
        "entity_columns": (12, "FeatureSpecV2[]"),
        "source_views": (14, "FeatureViewSpec[]"),
        "feature_transformation": (15, "bytes"),
        "version": (18, "string"),
        "disabled": (20, "bool"),
    },
    "StreamFeatureViewSpec": {"version": (21, "string")},
    "OnDemandFeatureView": {"spec": (1, "OnDemandFeatureViewSpec")},
    "OnDemandFeatureViewSpec": {"write_to_online_store": (12, "bool")},
    "FeatureService": {"spec": (1, "FeatureServiceSpec")},
    "FeatureServiceSpec": {
        "features": (3, "FeatureViewProjection[]"),
        "description": (5, "string"),
    },
    "FeatureViewProjection": {
        "feature_view_name": (1, "string"),
        "feature_columns": (2, "FeatureSpecV2[]"),
        "feature_view_name_alias": (3, "string"),
        "join_key_map": (4, "Mapping[]"),
        "version_tag": (10, "int32"),
    },
    "FeatureSpecV2": {
        "name": (1, "string"),
        "value_type": (2, "int32"),
        "tags": (3, "Mapping[]"),
        "description": (4, "string"),
    },
    "DataSource": {
        "type": (1, "int32"),
        "field_mapping": (2, "Mapping[]"),
        "timestamp_field": (3, "string"),
        "created_timestamp_column": (5, "string"),
        "custom_options": (16, "CustomSourceOptions"),
        "data_source_class_type": (17, "string"),
        "name": (20, "string"),
    },
    "Mapping": {"key": (1, "string"), "value": (2, "string")},
    "CustomSourceOptions": {"configuration": (1, "bytes")},
    "FeatureViewMeta": {
        "materialization_intervals": (3, "MaterializationInterval[]"),
        "current_version_number": (4, "int32"),
        "state": (6, "int32"),
    },
    "MaterializationInterval": {"start_time": (1, TIMESTAMP), "end_time": (2, TIMESTAMP)},
}
"""By message and field: Feast's number of it and its type, `[]` for a repeated one.

An enumeration is its number, and a message whose presence alone counts is bytes. A map from text
to text is repeated pairs, as protobuf writes it.
"""
SCALARS = {"string": 9, "bool": 8, "bytes": 12, "int32": 5}
"""Protobuf's number of a type."""
MESSAGE, OPTIONAL, REPEATED = 11, 1, 3


def classes() -> dict[str, Any]:
    """The classes of the messages by name."""
    file = descriptor_pb2.FileDescriptorProto(
        name="streamflow/registry.proto",
        package=PACKAGE,
        syntax="proto2",  # in which bytes are there or not
        dependency=[timestamp_pb2.DESCRIPTOR.name, duration_pb2.DESCRIPTOR.name],
    )
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            base = kind.removesuffix("[]")
            own = base if base.startswith(".") else f".{PACKAGE}.{base}"
            message.field.add(
                name=field,
                number=number,
                label=REPEATED if kind != base else OPTIONAL,
                type=SCALARS.get(base, MESSAGE),
                type_name=None if base in SCALARS else own,
            )
    pool = descriptor_pool.Default()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in FIELDS
    }


def pairs(mapping: Iterable[Any]) -> dict[str, Any]:
    """A map of a message as a dictionary."""
    return {one.key: one.value for one in mapping}


CLASSES = classes()
VIEWS: dict[str, Any] = {
    "feature_views": CLASSES["FeatureView"],
    "stream_feature_views": CLASSES["StreamFeatureView"],
}
"""The message of a view by the registry's table, of the views that are materialized by an engine.
"""
