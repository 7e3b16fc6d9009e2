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


class ThreadsCompute(Section):
    """Fits run in threads of the step's own process, `learn.threads` at once."""

    kind: Literal["threads"] = option("threads", about="tag of this variant")


class ProcessesCompute(Section):
    """Fits run in processes of this machine, over one memory-mapped copy of the rows."""

    kind: Literal["processes"] = option("processes", about="tag of this variant")
    workers: int = option(0, about="processes; 0 for learn.threads", unit="processes", ge=0)


class DaskCompute(Section):
    """Fits run on a Dask cluster whose workers have this code and the lock's packages."""

    kind: Literal["dask"] = option("dask", about="tag of this variant")
    address: str = option(about="address of the scheduler", pattern=r"^[a-z]+://[^/\s]+")
    timeout_s: float = option(30.0, about="how long to wait for the scheduler and a worker", unit="s", gt=0)


Compute = Annotated[ThreadsCompute | ProcessesCompute | DaskCompute, Field(discriminator="kind")]


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
    compute: Compute = option(ThreadsCompute, about="what fits the models of a search")
    releases: str = option("", about="folder of bundles and ledgers; empty for releases/ of the state folder")
