"""The kinds of artifact stores: the variables and files that their clients know. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ArtifactStore:
    """What the client of a kind of store reads.

    Attributes:
        variables: They are passed if they are set.
        files: Variables that name a file or a folder.
        defaults: The variable of a file → where the client looks if it is not set; ``~`` is the home of the
            user, ``{uid}`` its number.
        settings: As ``variables``; no login, and no way to another store.
    """

    variables: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[str, ...] = ()


# https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
_S3: Final = ArtifactStore(
    variables=(
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_STS",
        "MLFLOW_S3_ENDPOINT_URL",
        "MLFLOW_S3_IGNORE_TLS",
        "MLFLOW_S3_UPLOAD_EXTRA_ARGS",
        "MLFLOW_S3_EXPECTED_BUCKET_OWNER",
    ),
    files=(
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
        "AWS_CA_BUNDLE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ),
    defaults={
        "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
        "AWS_CONFIG_FILE": "~/.aws/config",
    },
    settings=(
        "AWS_EC2_METADATA_DISABLED",
        "AWS_MAX_ATTEMPTS",
        "AWS_REQUEST_CHECKSUM_CALCULATION",
        "AWS_RESPONSE_CHECKSUM_VALIDATION",
        "AWS_RETRY_MODE",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",
        "MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION",
    ),
)
# https://cloud.google.com/docs/authentication/application-default-credentials
_GOOGLE: Final = ArtifactStore(
    files=("GOOGLE_APPLICATION_CREDENTIALS",),
    defaults={
        "GOOGLE_APPLICATION_CREDENTIALS": "~/.config/gcloud/application_default_credentials.json"
    },
    settings=("GCLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT"),
)
# https://learn.microsoft.com/python/api/overview/azure/identity-readme#environment-variables
_AZURE: Final = ArtifactStore(
    variables=(
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
        "AZURE_USERNAME",
        "AZURE_PASSWORD",
        "AZURE_AUTHORITY_HOST",
        "AZURE_REGIONAL_AUTHORITY_NAME",
        "AZURE_TOKEN_CREDENTIALS",
    ),
    files=("AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"),
)
# https://mlflow.org/docs/latest/self-hosting/architecture/artifact-store#hdfs
# https://web.mit.edu/kerberos/krb5-latest/doc/user/user_config/kerberos.html#environment-variables
_HDFS: Final = ArtifactStore(
    variables=("MLFLOW_KERBEROS_USER", "MLFLOW_PYARROW_EXTRA_CONF"),
    files=(
        "MLFLOW_KERBEROS_TICKET_CACHE",
        "KRB5CCNAME",
        "KRB5_CONFIG",
        "KRB5_CLIENT_KTNAME",
        "HADOOP_CONF_DIR",
    ),
    defaults={"KRB5CCNAME": "/tmp/krb5cc_{uid}", "KRB5_CONFIG": "/etc/krb5.conf"},  # noqa: S108 Kerberos' own path
)
# Scheme of the address → kind. Those of R2 and B2 are reached by S3's client.
STORES: Final[Mapping[str, ArtifactStore]] = {
    "s3": _S3,
    "r2": _S3,
    "b2": _S3,
    "gs": _GOOGLE,
    "wasbs": _AZURE,
    "abfss": _AZURE,
    "hdfs": _HDFS,
    "viewfs": _HDFS,
}
