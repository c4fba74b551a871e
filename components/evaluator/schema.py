"""LabelSchema: what TFMA reads of records, as a pipeline's artifact."""

import os

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Schema

from avmae_tf.storage import write_text

SCHEMA_FILE = 'schema.pbtxt'


@component
def LabelSchema(text: Parameter[str], schema: OutputArtifact[Schema]) -> None:
    """Writes the schema of the labels alone, so that TFMA never unpacks the pictures.

    Args:
        text: `components.evaluation.config.label_schema()`.
        schema: The folder of the one file that it is written to.
    """
    write_text(os.path.join(schema.uri, SCHEMA_FILE), text)
