"""Tokens: kept until shortly before they expire, fetched by one at a time, and a failure that is data."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import ClientAuthenticationError

from probe.adapters.authorization import LIFETIME, TokenError, grant
from probe.adapters.credentials import AGAIN_AFTER, EARLY, SCOPE, Tokens, identity
from probe.core.connection import Connection, Entra, Sas, SharedKey
from probe.core.errors import ConfigurationError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ME, MANAGED = Entra(), Entra(managed=True, client_id="c1")
SECOND = timedelta(seconds=1)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class FakeIdentity:
    """Answers tokens that live for an hour, numbered; ``fails`` is what it raises instead."""

    def __init__(
        self, clock: Clock, *, life: timedelta = timedelta(hours=1), refresh: timedelta | None = None
    ):
        self.clock, self.life, self.refresh = clock, life, refresh
        self.asked: list[tuple[tuple[str, ...], object]] = []
        self.fails: Exception | None = None
        self.closed = False
        self.gate: asyncio.Event | None = None

    async def get_token_info(self, *scopes: str, options=None) -> AccessTokenInfo:
        self.asked.append((scopes, options))
        if self.gate:
            await self.gate.wait()
        if self.fails:
            raise self.fails
        now = self.clock.now
        refresh_on = int((now + self.refresh).timestamp()) if self.refresh else None
        expires_on = int((now + self.life).timestamp())
        return AccessTokenInfo(f"token {len(self.asked)}", expires_on, refresh_on=refresh_on)

    async def close(self) -> None:
        self.closed = True


def tokens_of(identity: FakeIdentity, **options) -> Tokens:
    return Tokens(clock=identity.clock, source=lambda _: identity, **options)


@pytest.mark.parametrize(
    ("refresh", "later", "expected"),
    [
        pytest.param(
            None, timedelta(hours=1) - EARLY - SECOND, "token 1", id="kept until five minutes before"
        ),
        pytest.param(None, timedelta(hours=1) - EARLY, "token 2", id="replaced five minutes before its end"),
        pytest.param(
            timedelta(minutes=30), timedelta(minutes=29), "token 1", id="kept until its issuer asks"
        ),
        pytest.param(
            timedelta(minutes=30), timedelta(minutes=30), "token 2", id="replaced when its issuer asks"
        ),
    ],
)
async def test_a_token_is_kept_as_long_as_it_is_good(refresh, later, expected):
    clock = Clock()
    tokens = tokens_of(FakeIdentity(clock, refresh=refresh))
    await tokens.get(ME)

    clock.now += later

    assert await tokens.get(ME) == expected


async def test_the_token_is_for_storage():
    identity = FakeIdentity(Clock())

    await tokens_of(identity).get(ME)

    assert identity.asked == [((SCOPE,), None)]


async def test_many_at_once_make_one_fetch():
    identity = FakeIdentity(Clock())
    identity.gate = asyncio.Event()
    tokens = tokens_of(identity)
    waiting = asyncio.gather(*(tokens.get(ME) for _ in range(20)))
    await asyncio.sleep(0)

    identity.gate.set()

    assert await waiting == ["token 1"] * 20


async def test_one_who_gives_up_waiting_costs_the_others_nothing():
    identity = FakeIdentity(Clock())
    identity.gate = asyncio.Event()
    tokens = tokens_of(identity)
    gives_up, stays = (asyncio.create_task(tokens.get(ME)) for _ in range(2))
    await asyncio.sleep(0)
    gives_up.cancel()

    identity.gate.set()

    assert (await stays).startswith("token")
    assert gives_up.cancelled()


async def test_each_identity_has_its_own_source_and_token():
    made: dict[Entra, FakeIdentity] = {}
    clock = Clock()
    tokens = Tokens(clock=clock, source=lambda entra: made.setdefault(entra, FakeIdentity(clock)))

    await tokens.get(ME)
    await tokens.get(MANAGED)

    assert [len(each.asked) for each in made.values()] == [1, 1]


@pytest.mark.parametrize(
    ("entra", "error", "expected"),
    [
        pytest.param(
            MANAGED,
            ClientAuthenticationError("AADSTS700016: secret-looking text\nmore"),
            "the managed identity gave none (ClientAuthenticationError AADSTS700016); "
            "assign it to this app and check its client id",
            id="managed",
        ),
        pytest.param(
            ME,
            ValueError("secret-looking text"),
            "no identity found here gave one (ValueError); "
            "sign in (az login) or set credential=managedidentity",
            id="default",
        ),
    ],
)
async def test_a_failure_names_cause_and_remedy_and_nothing_else(entra, error, expected):
    identity = FakeIdentity(Clock())
    identity.fails = error

    with pytest.raises(TokenError) as raised:
        await tokens_of(identity).get(entra)

    assert str(raised.value) == expected


async def test_an_identity_that_does_not_answer_is_given_up():
    identity = FakeIdentity(Clock())
    identity.gate = asyncio.Event()

    with pytest.raises(TokenError, match="no answer in time"):
        await tokens_of(identity, limit=timedelta(seconds=0.01)).get(ME)


async def test_a_failed_fetch_is_not_repeated_at_once():
    clock = Clock()
    identity = FakeIdentity(clock)
    identity.fails = ValueError()
    tokens = tokens_of(identity)
    for _ in range(3):
        with pytest.raises(TokenError):
            await tokens.get(ME)
    asked = len(identity.asked)

    identity.fails = None
    clock.now += AGAIN_AFTER

    assert asked == 1
    assert await tokens.get(ME) == "token 2"


async def test_a_good_token_is_handed_out_while_a_newer_one_cannot_be_had():
    clock = Clock()
    identity = FakeIdentity(clock)
    tokens = tokens_of(identity)
    await tokens.get(ME)
    identity.fails = ValueError()

    clock.now += timedelta(hours=1) - EARLY

    assert await tokens.get(ME) == "token 1"


async def test_an_expired_token_is_never_handed_out():
    clock = Clock()
    identity = FakeIdentity(clock)
    tokens = tokens_of(identity)
    await tokens.get(ME)
    identity.fails = ValueError()

    clock.now += timedelta(hours=1)

    with pytest.raises(TokenError):
        await tokens.get(ME)


async def test_a_token_with_hardly_any_life_is_not_fetched_for_every_request():
    identity = FakeIdentity(Clock(), life=timedelta(seconds=60))
    tokens = tokens_of(identity)

    for _ in range(3):
        await tokens.get(ME)

    assert len(identity.asked) == 1


async def test_the_sdks_credential_shares_the_token():
    identity = FakeIdentity(Clock())
    tokens = tokens_of(identity)
    async with tokens.credential(ME) as credential:
        info = await credential.get_token_info(SCOPE)
        older = await credential.get_token(SCOPE)

    assert [info.token, older.token, await tokens.get(ME)] == ["token 1"] * 3
    assert not identity.closed


async def test_a_claims_challenge_goes_to_the_identity_itself():
    identity = FakeIdentity(Clock())
    tokens = tokens_of(identity)
    await tokens.get(ME)

    challenged = await tokens.credential(ME).get_token(SCOPE, claims="{}", tenant_id="t", enable_cae=True)

    assert challenged.token == "token 2"  # noqa: S105 - a fake
    assert identity.asked[1] == ((SCOPE,), {"enable_cae": True, "claims": "{}", "tenant_id": "t"})


@pytest.mark.parametrize("claims", [None, "{}"], ids=["held", "challenged"])
async def test_the_sdk_gets_its_own_exception(claims):
    identity = FakeIdentity(Clock())
    identity.gate = asyncio.Event()
    tokens = tokens_of(identity, limit=timedelta(seconds=0.01))

    with pytest.raises(ClientAuthenticationError, match="no token: "):
        await tokens.credential(ME).get_token(SCOPE, claims=claims)


async def test_closing_closes_the_identities():
    identity = FakeIdentity(Clock())
    tokens = tokens_of(identity)
    await tokens.get(ME)

    await tokens.aclose()

    assert identity.closed


async def test_azure_identity_makes_a_credential_of_each_kind(monkeypatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/token")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    tokens = Tokens(clock=lambda: datetime.now(UTC), limit=timedelta(seconds=0.5))

    with pytest.raises(TokenError, match=r"the managed identity gave none \(127.0.0.1:1: no connection"):
        await tokens.get(MANAGED)
    await tokens.aclose()


def test_azure_identity_is_imported_by_the_first_token_only():
    code = "import sys, probe.adapters.credentials; sys.exit(any('azure' in each for each in sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own code


# What is shown to the service


def connection(authorization) -> Connection:
    return Connection(primary="https://a.example", secondary=None, authorization=authorization)


def test_a_grant_shows_no_secret():
    sas = Sas(token="sig=secret")  # noqa: S106 - a fake

    assert "secret" not in repr(grant(connection(sas), "https://a.example", now=NOON))


def test_a_signature_serves_ticks_in_a_row_and_none_of_another_act():
    account = connection(SharedKey(account="acc", key="a2V5"))
    steps = [NOON + timedelta(minutes=number) for number in range(-5, 15)]

    made = [grant(account, "https://a.example", now=at).query for at in steps]
    ends = [datetime.fromisoformat(parse_qs(each)["se"][0]) for each in made]

    assert len(set(made)) == 3
    assert all(LIFETIME * 5 / 6 < end - at <= LIFETIME for at, end in zip(steps, ends, strict=True))
    assert grant(account, "https://a.example", now=steps[0], write=True).query not in made


def test_an_identity_is_not_granted_over_http():
    with pytest.raises(ConfigurationError, match="use the https endpoint"):
        grant(connection(ME), "http://a.example", now=NOON)


def test_a_key_that_is_no_base64_is_a_configuration_error_without_the_key():
    key = SharedKey(account="acc", key="s3cret !")

    with pytest.raises(ConfigurationError, match="account key") as raised:
        grant(connection(key), "https://a.example", now=NOON)

    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("entra", "kind"),
    [
        (Entra(), "DefaultAzureCredential"),
        (Entra(managed=True), "ManagedIdentityCredential"),
        (Entra(managed=True, resource_id="/subscriptions/s/i"), "ManagedIdentityCredential"),
        (
            Entra(tenant_id="t.example", client_id="c", client_secret="s"),  # noqa: S106 - it opens nothing
            "ClientSecretCredential",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_identity_is_asked_for_in_its_own_way(entra: Entra, kind: str):
    credential = identity(entra)

    assert type(credential.credential).__name__ == kind
    await credential.close()


async def test_a_managed_identity_is_asked_for_by_its_resource_id(monkeypatch):
    """App Service takes it as `mi_res_id`."""
    import azure.identity.aio  # noqa: PLC0415

    asked = {}
    monkeypatch.setattr(azure.identity.aio, "ManagedIdentityCredential", lambda **given: asked.update(given))

    identity(Entra(managed=True, resource_id="/subscriptions/s/i"))

    assert asked["identity_config"] == {"resource_id": "/subscriptions/s/i"}
