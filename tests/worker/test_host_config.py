"""host.json, app settings and bindings, as the host reads them."""

import json
from datetime import timedelta

import pytest

from probe.lab.functions.config import (
    HostError,
    HostOptions,
    QueueOptions,
    connection_string,
    function,
    resolve,
    span,
)


def options(folder, **told):
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **told}))
    return HostOptions.read(folder)


def test_a_bare_host_json_has_the_plans_defaults(tmp_path):
    read = options(tmp_path)

    assert read == HostOptions(
        function_timeout=timedelta(minutes=30),
        route_prefix="api",
        queues=QueueOptions(
            batch_size=16,
            new_batch_threshold=8,
            max_dequeue_count=5,
            visibility_timeout=timedelta(0),
            max_polling_interval=timedelta(minutes=1),
            base64=True,
        ),
    )


def test_what_host_json_sets_is_applied(tmp_path):
    queues = {
        "batchSize": 4,
        "maxDequeueCount": 2,
        "visibilityTimeout": "00:00:30",
        "maxPollingInterval": 500,
        "messageEncoding": "none",
    }

    read = options(
        tmp_path, functionTimeout="00:05:00", extensions={"http": {"routePrefix": ""}, "queues": queues}
    )

    assert read == HostOptions(
        function_timeout=timedelta(minutes=5),
        route_prefix="",
        queues=QueueOptions(
            batch_size=4,
            new_batch_threshold=2,
            max_dequeue_count=2,
            visibility_timeout=timedelta(seconds=30),
            max_polling_interval=timedelta(seconds=0.5),
            base64=False,
        ),
    )


def test_a_timeout_of_minus_one_is_unbounded(tmp_path):
    assert options(tmp_path, functionTimeout="-1").function_timeout is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(None, "is missing", id="none"),
        pytest.param("{", "is not JSON", id="not JSON"),
        pytest.param("{}", "version must be", id="no version"),
        pytest.param('{"version": "2.0", "functionTimeout": "5m"}', "'5m' is not a time span", id="timeout"),
    ],
)
def test_a_bad_host_json_is_told_with_its_path(tmp_path, text, why):
    if text is not None:
        (tmp_path / "host.json").write_text(text)

    with pytest.raises(HostError, match=rf"host\.json.*{why}"):
        HostOptions.read(tmp_path)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("00:00:02", timedelta(seconds=2)),
        ("1.02:00:00", timedelta(hours=26)),
        ("00:00:00.200", timedelta(0, 0.2)),
    ],
)
def test_a_time_span_is_dotnets(told, meant):
    assert span(told) == meant


def test_a_settings_name_between_percent_signs_is_resolved():
    assert resolve("a-%NAME%-z", {"NAME": "m"}) == "a-m-z"


def test_a_setting_that_is_missing_is_told_by_name():
    with pytest.raises(HostError, match="'%PROBE_SCHEDULE%' does not resolve"):
        resolve("%PROBE_SCHEDULE%", {})


def test_a_connection_may_have_the_hosts_prefix():
    assert connection_string("Probed", {"AzureWebJobsProbed": "here", "Probed": "there"}) == "here"


def test_development_storage_is_azurites_own_ports():
    found = connection_string("C", {"C": "UseDevelopmentStorage=true;"})

    assert "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1" in found


@pytest.mark.parametrize(
    ("settings", "why"),
    [({}, "no app setting 'C'"), ({"C__queueServiceUri": "https://x"}, "identity-based")],
    ids=["missing", "identity"],
)
def test_a_connection_that_cannot_be_used_is_told(settings, why):
    with pytest.raises(HostError, match=why):
        connection_string("C", settings)


TIMER = {"type": "timerTrigger", "direction": "IN", "name": "timer", "schedule": "%S%"}


@pytest.mark.parametrize(
    ("bindings", "retries", "why"),
    [
        pytest.param([TIMER], True, "retry policy", id="a retry policy"),
        pytest.param(
            [{**TIMER, "type": "blobTrigger"}], False, "no trigger that .* knows", id="another trigger"
        ),
        pytest.param(
            [TIMER, {**TIMER, "type": "blob", "direction": "OUT"}], False, "'blob'", id="another output"
        ),
    ],
)
def test_what_the_host_does_not_do_is_refused(bindings, retries, why):
    told = {"name": "tick", "id": "1", "bindings": bindings, "retries": retries}

    with pytest.raises(HostError, match=rf"function 'tick'.*{why}"):
        function(told, {"S": "0 * * * * *"})
