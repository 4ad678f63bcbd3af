"""What an answer means for what was tried: whose fault it is, and the command that mends it.

Rules kept here: nothing is asked or changed; no secret gets into a command. A command names what it can, and
asks Azure for the rest (``az … --query id``), so that it can be pasted into bash and PowerShell alike.

Source: https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes and
https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from shlex import quote
from urllib.parse import urlsplit

from probe.adapters.checkup import Answer
from probe.connections import LOOPBACK
from probe.core.connection import Authorization, Entra, Sas, SharedKey
from probe.core.reading import Fault, fault_of

CONTRIBUTOR = "Storage Blob Data Contributor"
READER = "Storage Blob Data Reader"
ACCOUNT_READER = "Reader"
QUEUE = "Storage Queue Data Contributor"
PUBLISHER = "Monitoring Metrics Publisher"


class Whose(StrEnum):
    """Whose fault a failure is."""

    OURS = "ours"
    PATH = "the path's"
    SERVICE = "the service's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Whose fault something is, and what to do about it."""

    whose: Whose
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What was tried: where, as whom, and the grant that it takes.

    ``role`` at the container where one is named, else at the account. ``prefix`` is the setting that the
    connection comes from; ``sas`` the letters of a SAS that allows it.
    """

    url: str
    authorization: Authorization
    role: str
    prefix: str = "the connection"
    container: str | None = None
    sas: str = "r"

    @property
    def account(self) -> str:
        return account(self.url)


def account(url: str) -> str:
    """Return the account that a service's URL belongs to; an emulator has it in the path."""
    parts = urlsplit(url)
    name = parts.path.strip("/").split("/")[0] or (parts.hostname or "").split(".")[0]
    return name.removesuffix("-secondary")


def diagnosis(need: Need, answer: Answer, skew: timedelta | None) -> Diagnosis:
    """Return what a failed request means. ``skew`` is our clock's, where it is worth telling."""
    if answer.error_type is None:
        raise ValueError("nothing failed")
    if answer.status is not None and not answer.is_azures and answer.status not in _SERVER_ERRORS:
        remedy = "Something between answered in the place of Azure Storage: look at proxies and firewalls."
        return Diagnosis(whose=Whose.PATH, remedy=remedy)
    if fault_of(answer.error_type) is Fault.PATH:
        return _of_the_path(need, answer)
    if answer.code == "AccountIsDisabled":
        return Diagnosis(whose=Whose.SERVICE, remedy="Azure has disabled the account: ask its owner.")
    return Diagnosis(whose=Whose.OURS, remedy=_of_ours(need, answer, skew))


def _of_ours(need: Need, answer: Answer, skew: timedelta | None) -> str:
    match answer.code:
        case "AuthorizationFailure" if isinstance(need.authorization, Entra):
            return _network(need)  # a missing role has a code of its own, AuthorizationPermissionMismatch
        case "KeyBasedAuthenticationNotPermitted":
            return (
                f"The account takes no keys: remove the connection string ({need.prefix}), and set "
                f"`__serviceUri` of the same name to {need.url} to connect by identity."
            )
        case "AuthorizationSourceIPMismatch":
            return f"The SAS is for other addresses. {_grant(need)}"
        case "ContainerNotFound":
            return make_container(need)
        case _ if answer.error_type in ("401", "403"):
            return _denied(need, answer, skew)
        case _:
            return "Check the endpoint, the container and the blob's name."


_SERVER_ERRORS = range(500, 600)


def _of_the_path(need: Need, answer: Answer) -> Diagnosis:
    host = urlsplit(need.url).hostname or ""
    if host in LOOPBACK and answer.error_type in ("refused", "connect_timeout"):
        return Diagnosis(
            whose=Whose.PATH, remedy="Nothing takes connections there: start the emulator (Azurite)."
        )
    if answer.status is not None:
        remedy = (
            "Try again; if it stays so, look at https://status.azure.com, and at the account's own health:"
        )
        show = f"az storage account show --name {need.account} --query statusOfPrimary"
        return Diagnosis(whose=Whose.SERVICE, remedy=f"{remedy} {show}")
    match answer.error_type:
        case "dns":
            remedy = f"Check the name, and who answers for it here: nslookup {host}"
        case "tls":
            remedy = (
                "Check the clock, and who signs here: a proxy that opens TLS needs its CA in SSL_CERT_FILE. "
                f"openssl s_client -connect {host}:443 -servername {host}"
            )
        case "refused" | "connect_timeout":
            remedy = f"Let the way to {host} through firewalls and routes. {_network(need)}"
        case _:
            remedy = "Look at proxies and firewalls between, and try again."
    return Diagnosis(whose=Whose.PATH, remedy=remedy)


def _network(need: Need) -> str:
    return (
        "Let this network into the account's firewall: az storage account network-rule add "
        f"--account-name {need.account} --ip-address ADDRESS (or --subnet ID)"
    )


def _denied(need: Need, answer: Answer, skew: timedelta | None) -> str:
    if skew is not None and answer.code in (None, "AuthenticationFailed", "InvalidAuthenticationInfo"):
        return f"The clock is off, which alone can be the cause: set it first ({clock()}). {_grant(need)}"
    if answer.status == 401 and isinstance(need.authorization, Entra):  # noqa: PLR2004 - HTTP's
        return f"The token is of another tenant or audience: az login --tenant TENANT. {_grant(need)}"
    return _grant(need)


def _grant(need: Need) -> str:
    """Return the command that gives what is missing."""
    match need.authorization:
        case Entra() as entra:
            return assign(need.role, entra, scope(need))
        case SharedKey():
            keys = f"az storage account keys list --account-name {need.account}"
            return f"The key is not, or no longer, the account's. Copy it anew into {need.prefix}: {keys}"
        case Sas():
            return (
                f"The SAS is over, or allows less than this takes. Make another for {need.prefix}: "
                f"az storage account generate-sas --account-name {need.account} --services bq "
                "--resource-types sco "
                f"--permissions {need.sas} --expiry YYYY-MM-DD --https-only"
            )


def scope(need: Need) -> str:
    """Return the scope of a grant, no wider than what was tried."""
    root = f"$(az storage account show --name {need.account} --query id --output tsv)"
    return f"{root}/blobServices/default/containers/{need.container}" if need.container else root


def assign(role: str, entra: Entra, where: str) -> str:
    """Return the command that assigns a role to an identity."""
    return f'az role assignment create --role "{role}" --scope "{where}" {_assignee(entra)}'


def publish(entra: Entra) -> str:
    """Return the command that lets an identity send telemetry."""
    shown = "az monitor app-insights component show --app NAME --resource-group GROUP"
    return assign(PUBLISHER, entra, f"$({shown} --query id --output tsv)")


def upload(need: Need, blob: str) -> str:
    """Return the command that puts the blob there which is only read."""
    return (
        f"az storage blob upload --account-name {need.account} --container-name {need.container} "
        f"--name {quote(blob)} --file FILE --auth-mode login"
    )


def _assignee(entra: Entra) -> str:
    if entra.client_id:
        return f"--assignee {entra.client_id}"
    if entra.resource_id:
        found = f'"$(az identity show --ids {quote(entra.resource_id)} --query principalId --output tsv)"'
        return f"--assignee-object-id {found} --assignee-principal-type ServicePrincipal"
    if entra.managed:
        app = "az functionapp identity show --name APP --resource-group GROUP"
        found = f'"$({app} --query principalId --output tsv)"'
        return f"--assignee-object-id {found} --assignee-principal-type ServicePrincipal"
    return '--assignee "$(az ad signed-in-user show --query id --output tsv)"'


def make_container(need: Need) -> str:
    """Return the command that makes the container."""
    return (
        f"az storage container create --account-name {need.account} --name {need.container} --auth-mode login"
    )


def lost_secondary(need: Need) -> Diagnosis:
    """Return what it means that a secondary's name does not resolve beside a primary that answers."""
    remedy = (
        "The account has no readable secondary, or lost it by a failover: az storage account update "
        f"--name {need.account} --sku Standard_RAGZRS (or name no secondary)"
    )
    return Diagnosis(whose=Whose.SERVICE, remedy=remedy)


def no_token(entra: Entra) -> str:
    """Return what to do where an identity gives no token."""
    if entra.managed:
        return (
            "Run this where the managed identity is (in the function app), and assign it there: "
            "az functionapp identity assign --name APP --resource-group GROUP"
        )
    if entra.client_secret:
        return f"Make the application a new secret: az ad app credential reset --id {entra.client_id}"
    return "Sign in: az login"


def clock() -> str:
    """Return how a clock is set."""
    return "sudo timedatectl set-ntp true; on Windows: w32tm /resync"
