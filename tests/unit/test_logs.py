"""Log records are cleaned where they are made, whoever prints them; those of others are left alone."""

import logging

import pytest

from probe import logs

SECRET = "https://a.example/?sig=c2VjcmV0"  # noqa: S105


@pytest.fixture(autouse=True)
def only_here():
    before = logging.getLogRecordFactory()
    logs.clean()
    logs.clean()  # as two faces of one process may
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize("name", ["probe", "probe.any", "azure.identity._internal", "msal.token_cache"])
def test_words_and_traces_are_cleaned(name: str, caplog: pytest.LogCaptureFixture):
    logging.getLogger(name).error("it said %s", SECRET, exc_info=RuntimeError(SECRET))

    assert "it said https://a.example/?…" in caplog.text
    assert "RuntimeError: https://a.example/?…" in caplog.text
    assert "c2VjcmV0" not in caplog.text


def test_the_records_of_others_are_theirs(caplog: pytest.LogCaptureFixture):
    logging.getLogger("azure_functions_runtime").warning("it said %s", SECRET)

    assert caplog.records[0].args == (SECRET,)


def test_an_exception_is_cleaned_and_stays_the_one_that_it_is():
    error = ValueError(SECRET, 7)

    assert logs.cleaned(error) is error
    assert error.args == ("https://a.example/?…", 7)
