"""Typed configuration: detkit's YAML pipelines, the OD API's pipeline.config, and protobuf text format."""
