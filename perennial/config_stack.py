"""The typed form of `configs/stacks/*.yaml`: where a system runs. No number here has to do with learning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perennial.config_section import SecretReference, Section, option


class EmbeddedStore(Section):
    """ZenML's metadata in a SQLite file of the state folder."""

    kind: Literal["sqlite"] = option(about="tag of this variant")


class ServerStore(Section):
    """ZenML's metadata behind a ZenML server."""

    kind: Literal["server"] = option(about="tag of this variant")
    url: str = option(about="address of the ZenML server")
    api_key: SecretReference = option(about="API key of a service account, by reference")


class FolderArtifacts(Section):
    """Artifacts in the state folder."""

    kind: Literal["folder"] = option(about="tag of this variant")


class S3Artifacts(Section):
    """Artifacts in an S3 bucket; credentials come from the usual AWS environment variables."""

    kind: Literal["s3"] = option(about="tag of this variant")
    uri: str = option(about="bucket and prefix", pattern=r"^s3://[^/]+")
    endpoint: str = option("", about="address of an S3-compatible service; empty for AWS")
    region: str = option("us-east-1", about="region of the bucket")


class LocalTracking(Section):
    """MLflow in a SQLite file of the state folder."""

    kind: Literal["local"] = option(about="tag of this variant")


class ServerTracking(Section):
    """An MLflow tracking server."""

    kind: Literal["server"] = option(about="tag of this variant")
    url: str = option(about="address of the MLflow server")
    token: SecretReference | None = option(None, about="bearer token, by reference; none for an open server")


class LocalOrchestrator(Section):
    """Steps run one after another in this process."""

    kind: Literal["local"] = option(about="tag of this variant")


class KubernetesOrchestrator(Section):
    """Every step runs in a pod of its own."""

    kind: Literal["kubernetes"] = option(about="tag of this variant")
    context: str = option("", about="kubectl context; empty inside the cluster")
    namespace: str = option("perennial", about="namespace of the pods")
    image: str = option(about="image with the code and requirements.txt installed")
    registry: str = option(about="container registry that the cluster pulls from")


class Stack(Section):
    """Where all this runs."""

    metadata: Annotated[EmbeddedStore | ServerStore, Field(discriminator="kind")] = option(
        about="where ZenML keeps what ran"
    )
    artifacts: Annotated[FolderArtifacts | S3Artifacts, Field(discriminator="kind")] = option(
        about="where step outputs are kept"
    )
    tracking: Annotated[LocalTracking | ServerTracking, Field(discriminator="kind")] = option(
        about="where MLflow keeps parameters, metrics and reports"
    )
    orchestrator: Annotated[LocalOrchestrator | KubernetesOrchestrator, Field(discriminator="kind")] = option(
        about="what runs the steps"
    )
    releases: str = option("", about="folder of bundles and ledgers; empty for releases/ of the state folder")
