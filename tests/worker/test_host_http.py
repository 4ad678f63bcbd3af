"""HTTP functions through the host."""

import aiohttp
import pytest

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_request_reaches_the_function_and_its_response_the_caller(stage, client):
    async with stage.host("status", port=0) as host:
        url = host.root + "/api/status/page"
        headers = {"Accept": "application/json", "traceparent": TRACE}
        async with client.get(url, params={"format": "json"}, headers=headers) as response:
            told = await response.json()

    assert response.status == 503
    assert response.headers["Retry-After"] == "7"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Set-Cookie"] == "shown=1; Path=/; HttpOnly"
    assert told["method"] == "GET"
    assert told["url"] == f"{url}?format=json"
    assert told["query"] == {"format": "json"}
    assert told["route"] == {"part": "page"}
    assert told["accept"] == "application/json"
    assert told["trace_parent"].split("-")[1] == TRACE.split("-")[1]


async def test_a_string_is_a_response_of_text(stage, client):
    async with stage.host("health", port=0) as host, client.get(host.url("health")) as response:
        text = await response.text()

    assert (response.status, response.content_type, text) == (200, "text/plain", "fresh")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/health"), ("GET", "/api/nothing"), ("GET", "/health"), ("GET", "/api/status/page")],
    ids=["another method", "no such route", "without the prefix", "a function not served"],
)
async def test_what_is_not_served_is_not_found(stage, client, method, path):
    async with stage.host("health", port=0) as host, client.request(method, host.root + path) as response:
        assert response.status == 404


async def test_a_function_that_fails_is_an_empty_500(stage, client):
    async with stage.host("status", port=0) as host:
        response = await client.post(host.root + "/api/status/page", json={"fail": "secret"})
        text = await response.text()

    assert (response.status, text) == (500, "")
    assert any("ValueError: secret" in line for line in stage.lines)


async def test_a_timer_can_be_run_over_http_as_on_azures_host(stage, client):
    async with stage.host("tick", port=0, schedules=False) as host:
        response = await client.post(host.root + "/admin/functions/tick", json={"input": ""})
        await stage.until_seen("tick", 1)

    assert response.status == 202
