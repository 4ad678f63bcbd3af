"""Connections: each spelling that Functions knows, what it resolves to, and what it refuses."""

import pytest

from probe.connections import AZURITE_KEY, derived_secondary, queue_service, resolve, unused
from probe.core.connection import Connection, Entra, Sas, SharedKey
from tests.unit.settings_values import KEY, SIGNATURE, STRING

CLIENT = "00000000-0000-0000-0000-000000000001"
MANAGED = {"C__credential": "managedIdentity"}
ACCOUNT = f"AccountName=contoso;AccountKey={KEY}"
HOST = "https://contoso.blob.core.windows.net"


def resolved(**found: str) -> Connection:
    told: list[str] = []
    connection = resolve(found, "C", lambda *each: told.append(": ".join(each)))
    assert connection, told
    return connection


def refused(**found: str) -> list[tuple[str, str, str]]:
    told: list[tuple[str, str, str]] = []
    assert resolve(found, "C", lambda *each: told.append(each)) is None
    return told


@pytest.mark.parametrize(
    ("text", "primary", "secondary"),
    [
        (STRING, HOST, "https://contoso-secondary.blob.core.windows.net"),
        (ACCOUNT, HOST, "https://contoso-secondary.blob.core.windows.net"),
        (
            f"{ACCOUNT};EndpointSuffix=core.chinacloudapi.cn",
            "https://contoso.blob.core.chinacloudapi.cn",
            "https://contoso-secondary.blob.core.chinacloudapi.cn",
        ),
        (
            f"DefaultEndpointsProtocol=http;{ACCOUNT};EndpointSuffix=core.usgovcloudapi.net",
            "http://contoso.blob.core.usgovcloudapi.net",
            "http://contoso-secondary.blob.core.usgovcloudapi.net",
        ),
        (
            f"{ACCOUNT};BlobEndpoint=https://contoso.z01.blob.storage.azure.net/",
            "https://contoso.z01.blob.storage.azure.net",
            "https://contoso-secondary.z01.blob.storage.azure.net",
        ),
        (
            f"{ACCOUNT};BlobEndpoint=https://blobs.contoso.example/;BlobSecondaryEndpoint=https://b.example//",
            "https://blobs.contoso.example",
            "https://b.example",
        ),
        (f"{ACCOUNT};BlobEndpoint=https://blobs.contoso.example", "https://blobs.contoso.example", None),
        (
            "UseDevelopmentStorage=true",
            "http://127.0.0.1:10000/devstoreaccount1",
            "http://127.0.0.1:10000/devstoreaccount1-secondary",
        ),
        (
            "usedevelopmentstorage=True;DevelopmentStorageProxyUri=http://azurite",
            "http://azurite:10000/devstoreaccount1",
            None,
        ),
        (
            f"{ACCOUNT};BlobEndpoint=http://[::1]:10000/devstoreaccount1",
            "http://[::1]:10000/devstoreaccount1",
            "http://[::1]:10000/devstoreaccount1-secondary",
        ),
        (
            f"{ACCOUNT};BlobEndpoint=HTTPS://Contoso.Blob.Core.Windows.Net:443/",
            "https://contoso.blob.core.windows.net:443",
            "https://contoso-secondary.blob.core.windows.net:443",
        ),
    ],
)
def test_a_connection_string_names_both_endpoints(text: str, primary: str, secondary: str | None):
    found = resolved(C=text)

    assert (found.primary, found.secondary) == (primary, secondary)


def test_a_connection_string_gives_the_account_and_its_key_or_a_signature():
    assert resolved(C=ACCOUNT).authorization == SharedKey(account="contoso", key=KEY)
    assert resolved(C="UseDevelopmentStorage=true").authorization == SharedKey(
        account="devstoreaccount1", key=AZURITE_KEY
    )
    signed = resolved(C=f"BlobEndpoint={HOST}/;SharedAccessSignature=?{SIGNATURE}")
    assert signed.authorization == Sas(token=SIGNATURE)
    assert signed.secondary == "https://contoso-secondary.blob.core.windows.net"


@pytest.mark.parametrize(
    ("found", "primary", "secondary", "entra"),
    [
        ({"C__blobServiceUri": f"{HOST}/"}, HOST, f"{HOST[:15]}-secondary{HOST[15:]}", Entra()),
        ({"C__accountName": "contoso"}, HOST, f"{HOST[:15]}-secondary{HOST[15:]}", Entra()),
        (
            {"C__blobServiceUri": HOST, "C__secondaryBlobServiceUri": "https://other.example/x/"},
            HOST,
            "https://other.example/x",
            Entra(),
        ),
        (
            {
                "C__blobServiceUri": "https://127.0.0.1:10000/devstoreaccount1",
                "C__credential": "managedidentity",
                "C__clientId": "00000000-0000-0000-0000-000000000001",
            },
            "https://127.0.0.1:10000/devstoreaccount1",
            "https://127.0.0.1:10000/devstoreaccount1-secondary",
            Entra(managed=True, client_id="00000000-0000-0000-0000-000000000001"),
        ),
        (
            {"c__SERVICEURI": HOST, "C__CREDENTIAL": "ManagedIdentity", "C__managedidentityresourceid": "/i"},
            HOST,
            f"{HOST[:15]}-secondary{HOST[15:]}",
            Entra(managed=True, resource_id="/i"),
        ),
        (
            {
                "C__serviceUri": HOST,
                "C__tenantId": "contoso.onmicrosoft.com",
                "C__clientId": CLIENT,
                "C__clientSecret": "s",
            },
            HOST,
            f"{HOST[:15]}-secondary{HOST[15:]}",
            Entra(tenant_id="contoso.onmicrosoft.com", client_id=CLIENT, client_secret="s"),  # noqa: S106
        ),
        (
            {"C__serviceUri": HOST, "C__queueServiceUri": "https://q", "C__tableServiceUri": "https://t"},
            HOST,
            f"{HOST[:15]}-secondary{HOST[15:]}",
            Entra(),
        ),
        (
            {"C__serviceUri": HOST, "C__blobServiceUri": f"{HOST}/"},
            HOST,
            f"{HOST[:15]}-secondary{HOST[15:]}",
            Entra(),
        ),
    ],
)
def test_a_connection_by_identity_is_spelt_as_functions_spells_it(
    found: dict[str, str], primary: str, secondary: str, entra: Entra
):
    assert resolved(**found) == Connection(primary=primary, secondary=secondary, authorization=entra)


@pytest.mark.parametrize(
    ("found", "name", "part"),
    [
        ({}, "C", "is not set"),
        ({"C": "hello"}, "C", "is not a connection string"),
        ({"C": "AccountName=contoso"}, "C", "has neither AccountName with AccountKey"),
        ({"C": f"AccountKey={KEY}"}, "C", "names neither AccountName nor BlobEndpoint"),
        ({"C": f"SharedAccessSignature={SIGNATURE}"}, "C", "names neither"),
        ({"C": f"{ACCOUNT};BlobEndpoint=contoso"}, "C", "is not an http(s) URL with a host"),
        ({"C": f"{ACCOUNT};BlobEndpoint={HOST}?{SIGNATURE}"}, "C", "has a query"),
        ({"C": f"{ACCOUNT};BlobSecondaryEndpoint=ftp://x"}, "C", "is not an http(s) URL"),
        ({"C": f"{ACCOUNT};BlobEndpoint=http://[::1"}, "C", "is not an http(s) URL"),
        ({"C": f"{ACCOUNT};BlobEndpoint=http://h:99999"}, "C", "is not an http(s) URL"),
        ({"C__blobServiceUri": "http://contoso.example"}, "C__blobServiceUri", "is http, over which"),
        (
            {"C__blobServiceUri": HOST, "C__secondaryBlobServiceUri": "nowhere"},
            "C__secondaryBlobServiceUri",
            "is not an http(s) URL",
        ),
        ({"C__blobServiceUri": HOST, "C__credential": "secret"}, "C__credential", "something else"),
        ({"C__serviceUri": HOST, "C__clientId": "c"}, "C__clientId", "is no id"),
        ({"C__clientId": CLIENT}, "C__serviceUri", "is not set, though other parts"),
        ({"C__accountName": "https://contoso"}, "C__accountName", "is no storage account's name"),
        ({"C__serviceUri": HOST, "C__clinetId": "c"}, "C__clinetId", "is not known"),
        ({"C__serviceUri": HOST, "C__clientCertificate": "x"}, "C__clientCertificate", "is not known"),
        (
            {"C__serviceUri": HOST, "C__blobServiceUri": "https://other.example"},
            "C__blobServiceUri",
            "names another endpoint",
        ),
        (
            {"C__serviceUri": HOST, "C__managedIdentityResourceId": "/x"},
            "C__managedIdentityResourceId",
            "that nothing asks for",
        ),
        (
            {"C__serviceUri": HOST, **MANAGED, "C__clientId": CLIENT, "C__managedIdentityResourceId": "/x"},
            "C__managedIdentityResourceId",
            "a second time",
        ),
        ({"C__serviceUri": HOST, **MANAGED, "C__clientSecret": "s"}, "C__clientSecret", "of no use"),
        (
            {"C__serviceUri": HOST, **MANAGED, "C__tenantId": "contoso.onmicrosoft.com"},
            "C__tenantId",
            "of no use",
        ),
        (
            {"C__serviceUri": HOST, "C__tenantId": "contoso.onmicrosoft.com", "C__clientId": CLIENT},
            "C__clientSecret",
            "is not set, but others",
        ),
        ({"C__serviceUri": f"https://{'a' * 64}.example"}, "C__serviceUri", "no name server can know"),
        ({"C__serviceUri": "https://a..example"}, "C__serviceUri", "no name server can know"),
        ({"C__serviceUri": "https://.example"}, "C__serviceUri", "no name server can know"),
        ({"C__serviceUri": f"https://{'a.' * 127}example"}, "C__serviceUri", "no name server can know"),
        ({"C__serviceUri": "https://contöso.example"}, "C__serviceUri", "no name server can know"),
        ({"C__serviceUri": f"{HOST}/%3Fsv=1&sig=a"}, "C__serviceUri", "has a path that is no account"),
        ({"C__serviceUri": "https://:p@contoso.example"}, "C__serviceUri", "a user"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_used_is_told_with_its_remedy(found: dict[str, str], name: str, part: str):
    told = refused(**found)

    assert {each[0] for each in told} == {name}
    assert any(part in each[1] for each in told)
    assert all(each[2].endswith(".") for each in told)


@pytest.mark.parametrize(
    "url", ["https://contoso.example", "https://blob.example", "https://127.0.0.1", "https://zone.blob"]
)
def test_no_secondary_is_made_up_for_a_host_that_follows_no_known_naming(url: str):
    assert derived_secondary(url) is None


@pytest.mark.parametrize(
    ("found", "queue"),
    [
        ({"C": STRING}, "https://contoso.queue.core.windows.net"),
        ({"C": f"{ACCOUNT};QueueEndpoint=https://q.example/"}, "https://q.example"),
        ({"C": "UseDevelopmentStorage=true"}, "http://127.0.0.1:10001/devstoreaccount1"),
        ({"C__accountName": "contoso"}, "https://contoso.queue.core.windows.net"),
        ({"C__serviceUri": HOST, "C__queueServiceUri": "https://q.example"}, "https://q.example"),
        ({"C__serviceUri": HOST}, "C__queueServiceUri"),
        ({"C__serviceUri": HOST, "C__queueServiceUri": "nowhere"}, "C__queueServiceUri"),
        ({}, "C"),
    ],
)
def test_the_queue_of_a_connection_is_found_or_what_is_missing_told(found: dict[str, str], queue: str):
    told: list[str] = []

    connection = queue_service(found, "C", lambda name, *_: told.append(name))

    assert [connection.primary if connection else None, *told] in ([queue], [None, queue])


def test_what_stands_beside_a_connection_string_is_told():
    assert list(unused({"C": STRING, "c__clientId": "x", "D__clientId": "x"})) == [
        "c__clientId is ignored, since c is set to a connection string"
    ]


def test_no_secret_shows_in_what_is_printed_of_a_connection():
    shown = repr(resolved(C=STRING)) + repr(
        resolved(C=f"BlobEndpoint={HOST};SharedAccessSignature={SIGNATURE}")
    )

    shown += repr(
        resolved(C__serviceUri=HOST, C__tenantId=CLIENT, C__clientId=CLIENT, C__clientSecret=f"s{SIGNATURE}")
    )

    assert KEY not in shown
    assert SIGNATURE not in shown
