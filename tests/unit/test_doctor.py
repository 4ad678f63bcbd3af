"""The doctor's table and its remedies: what each answer means, and the command for it."""

import json
from datetime import timedelta

import pytest

from probe import doctor, remedies
from probe.adapters.checkup import Answer
from probe.core.connection import Authorization, Entra, Sas, SharedKey
from probe.doctor import Of, Outcome, Row
from probe.remedies import Need, Whose
from tests.unit.test_overview import shown

KEY = SharedKey(account="contoso", key="c2VjcmV0")
SAS = Sas(token="sv=1&sig=c2VjcmV0")  # noqa: S106 - it opens nothing
CLIENT = "00000000-0000-0000-0000-000000000001"
SCOPE = "$(az storage account show --name contoso --query id --output tsv)"


def need(authorization: Authorization, **more: object) -> Need:
    values = {
        "url": "https://contoso.blob.core.windows.net",
        "authorization": authorization,
        "role": remedies.CONTRIBUTOR,
        "container": "health-probe",
        "prefix": "ProbedStorage",
    }
    return Need(**{**values, **more})


def answer(error: str, code: str | None = None, *, azure: bool = True) -> Answer:
    status = int(error) if error.isdecimal() else None
    return Answer(error_type=error, detail=error, status=status, code=code, is_azures=azure)


@pytest.mark.parametrize(
    ("entra", "assignee"),
    [
        (Entra(), '--assignee "$(az ad signed-in-user show --query id --output tsv)"'),
        (Entra(managed=True, client_id=CLIENT), f"--assignee {CLIENT}"),
        (Entra(tenant_id="t", client_id=CLIENT, client_secret="c2VjcmV0"), f"--assignee {CLIENT}"),  # noqa: S106
        (Entra(managed=True, resource_id="/s/g(1)/i"), "$(az identity show --ids '/s/g(1)/i' --query"),
        (Entra(managed=True), "$(az functionapp identity show --name APP --resource-group GROUP"),
    ],
    ids=["signed in", "client id", "application", "resource id", "system-assigned"],
)
def test_a_missing_role_names_role_scope_and_who_needs_it(entra: Entra, assignee: str):
    found = remedies.diagnosis(need(entra), answer("403", "AuthorizationPermissionMismatch"), None)

    assert found.whose is Whose.OURS
    assert found.remedy.startswith(
        'az role assignment create --role "Storage Blob Data Contributor" --scope '
        f'"{SCOPE}/blobServices/default/containers/health-probe" '
    )
    assert assignee in found.remedy


@pytest.mark.parametrize(
    ("authorization", "given", "whose", "part"),
    [
        (KEY, answer("403", "AuthenticationFailed"), Whose.OURS, "az storage account keys list"),
        (
            KEY,
            answer("403", "KeyBasedAuthenticationNotPermitted"),
            Whose.OURS,
            "(ProbedStorage), and set `__serviceUri`",
        ),
        (SAS, answer("403", "AuthorizationFailure"), Whose.OURS, "az storage account generate-sas"),
        (SAS, answer("403", "AuthorizationSourceIPMismatch"), Whose.OURS, "for other addresses"),
        (Entra(), answer("403", "AuthorizationFailure"), Whose.OURS, "network-rule add"),
        (Entra(), answer("401", "InvalidAuthenticationInfo"), Whose.OURS, "az login --tenant"),
        (Entra(), answer("403", azure=False), Whose.PATH, "proxies and firewalls"),
        (KEY, answer("404", "ContainerNotFound"), Whose.OURS, "az storage container create"),
        (KEY, answer("403", "AccountIsDisabled"), Whose.SERVICE, "ask its owner"),
        (KEY, answer("503", "ServerBusy"), Whose.SERVICE, "https://status.azure.com"),
        (KEY, answer("429"), Whose.SERVICE, "https://status.azure.com"),
        (KEY, answer("dns"), Whose.PATH, "nslookup contoso.blob.core.windows.net"),
        (KEY, answer("tls"), Whose.PATH, "openssl s_client"),
        (KEY, answer("refused"), Whose.PATH, "network-rule add --account-name contoso"),
        (KEY, answer("connect_timeout"), Whose.PATH, "network-rule add"),
        (KEY, answer("reset"), Whose.PATH, "proxies and firewalls"),
        (KEY, answer("400"), Whose.OURS, "Check the endpoint"),
    ],
    ids=lambda value: f"{value.error_type} {value.code}" if isinstance(value, Answer) else "",
)
def test_each_answer_has_whose_fault_it_is_and_a_remedy_without_a_secret(
    authorization: Authorization, given: Answer, whose: Whose, part: str
):
    found = remedies.diagnosis(need(authorization), given, None)

    assert found.whose is whose
    assert part in found.remedy
    assert "c2VjcmV0" not in found.remedy


@pytest.mark.parametrize(("code", "named"), [("AuthenticationFailed", True), ("PublicAccessDenied", False)])
def test_a_clock_that_is_off_is_named_where_it_can_be_the_cause(code: str, *, named: bool):
    found = remedies.diagnosis(need(KEY), answer("403", code), timedelta(minutes=20))

    assert ("timedatectl" in found.remedy) is named


@pytest.mark.parametrize(
    ("url", "account"),
    [
        ("https://contoso.blob.core.windows.net", "contoso"),
        ("https://contoso-secondary.blob.core.windows.net", "contoso"),
        ("http://127.0.0.1:10000/devstoreaccount1-secondary", "devstoreaccount1"),
    ],
)
def test_the_account_is_read_off_its_endpoint(url: str, account: str):
    assert remedies.account(url) == account


def row(of: Of, outcome: Outcome) -> Row:
    fault = {"whose": Whose.OURS, "remedy": "do"} if outcome is Outcome.FAILED else {}
    return Row(step="read", subject="a primary", of=of, outcome=outcome, detail="403", **fault)


@pytest.mark.parametrize(
    ("failed", "code"),
    [
        ([], 0),
        ([Of.TARGET], 1),
        ([Of.PROBE], 3),
        ([Of.TARGET, Of.PROBE], 3),
        ([Of.TARGET, Of.PROBE, Of.SETTINGS], 2),
    ],
)
def test_the_exit_code_asks_first_whether_it_is_us(failed: list[Of], code: int):
    rows = [row(Of.TARGET, Outcome.OK), *(row(each, Outcome.FAILED) for each in failed)]

    assert doctor.exit_code(rows) == code
    assert json.loads(json.dumps(doctor.document(rows)))["exit_code"] == code


def test_rows_are_aligned_and_a_failed_one_is_followed_by_fault_and_remedy():
    outcomes = (Outcome.OK, Outcome.FAILED, Outcome.SKIPPED)
    told = shown([part for each in outcomes for part in doctor.lines(row(Of.TARGET, each), 20)])

    assert told.splitlines() == [
        "read       a primary             ok       403",
        "read       a primary             FAILED   403",
        "           fault: ours",
        "           mend:  do",
        "read       a primary             -        403",
    ]


def test_the_last_line_counts_what_was_tried_and_what_could_not_be():
    rows = [row(Of.TARGET, each) for each in Outcome]

    assert doctor.summary(rows) == "1 of 2 things that were tried failed; 1 could not be tried for it."
    assert doctor.summary(rows[:1]) == "All 1 things that were tried work."
