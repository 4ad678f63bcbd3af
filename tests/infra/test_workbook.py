"""The workbook is made from the queries, has the portal's shapes, and shows what the telemetry holds."""

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from tests.infra import tiles, workbook
from tests.infra.kql import NUMBERS, shipped
from tests.infra.snapshots import NAMES, resources

TILES = {f"{tile.query} as {tile.kind}": tile for tile in workbook.every_tile()}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class Text(Strict):
    """A step of Markdown. Source: github.com/microsoft/Application-Insights-Workbooks, schema."""

    class Content(Strict):
        json_: str = Field(alias="json", min_length=1)

    type: Literal[1]
    content: Content
    name: str


class Query(Strict):
    class Content(Strict):
        version: Literal["KqlItem/1.0"]
        query: str = Field(min_length=1)
        size: Literal[0, 1, 2, 3, 4]
        title: str
        no_data_message: str
        time_context_from_parameter: Literal["TimeRange"]
        query_type: Literal[0]
        resource_type: Literal["microsoft.operationalinsights/workspaces"]
        visualization: Literal["table", "tiles", "linechart"]
        grid_settings: dict[str, Any] | None = None
        tile_settings: dict[str, Any] | None = None
        chart_settings: dict[str, Any] | None = None

    type: Literal[3]
    content: Content
    custom_width: Literal["50", "100"]
    name: str


class Parameter(Strict):
    id: str
    version: Literal["KqlParameterItem/1.0"]
    name: str = Field(pattern=r"^[A-Za-z]\w*$")
    label: str
    type: Literal[1, 2, 4]
    is_required: bool
    value: Any
    type_settings: dict[str, Any]
    multi_select: bool = False
    quote: str = ""
    delimiter: str = ""
    query: str = ""
    default_value: str = ""
    time_context_from_parameter: str = ""
    query_type: int = 0
    resource_type: str = ""


class Parameters(Strict):
    class Content(Strict):
        version: Literal["KqlParameterItem/1.0"]
        parameters: list[Parameter]
        style: Literal["pills"]
        query_type: Literal[0]
        resource_type: Literal["microsoft.operationalinsights/workspaces"]

    type: Literal[9]
    content: Content
    name: str


class Links(Strict):
    class Content(Strict):
        class Link(Strict):
            id: str
            cell_value: str
            link_target: Literal["parameter"]
            link_label: str
            sub_target: str
            style: Literal["link"]
            pre_text: str = ""

        version: Literal["LinkItem/1.0"]
        style: Literal["tabs"]
        links: list[Link]

    type: Literal[11]
    content: Content
    name: str


class Group(Strict):
    class Content(Strict):
        version: Literal["NotebookGroup/1.0"]
        group_type: Literal["editable"]
        items: list[Annotated[Text | Query, Field(discriminator="type")]]

    class Visibility(Strict):
        parameter_name: str
        comparison: Literal["isEqualTo"]
        value: str

    type: Literal[12]
    content: Content
    conditional_visibility: Visibility
    name: str


class Workbook(Strict):
    version: Literal["Notebook/1.0"]
    items: list[Annotated[Parameters | Links | Group, Field(discriminator="type")]]
    fallback_resource_ids: list[str]
    schema_: str = Field(alias="$schema")


def loaded(document):
    return TypeAdapter(Workbook).validate_python(document)


@pytest.mark.parametrize("name", NAMES)
def test_the_deployed_workbook_loads_and_looks_at_its_own_workspace(name):
    (found,) = resources(name, "Microsoft.Insights/workbooks")
    (workspace,) = resources(name, "Microsoft.OperationalInsights/workspaces")

    document = loaded(json.loads(found["properties"]["serializedData"]))

    assert document.fallback_resource_ids == [workspace["id"]] == [found["properties"]["sourceId"]]
    assert found["kind"] == "shared"


def test_choices_reach_the_workbook():
    (found,) = resources("fleet", "Microsoft.Insights/workbooks")
    queries = json.dumps(json.loads(found["properties"]["serializedData"]))

    assert "let rpo_seconds = 1800;" in queries
    assert "let rpo_seconds = 900;" not in queries
    assert r"[\"orders\", \"uksouth\", \"orders\", \"swedencentral\"" in queries
    assert r"\"francecentral\"" not in queries


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param(lambda d: d.update(version="Notebook/9"), "version", id="an unknown version"),
        pytest.param(lambda d: d["items"][0].update(type=99), "type", id="an unknown step"),
        pytest.param(
            lambda d: d["items"][2]["content"]["items"][1]["content"].pop("query"),
            "query",
            id="a tile without query",
        ),
        pytest.param(
            lambda d: d["items"][2]["content"]["items"][1]["content"].update(visualization="hologram"),
            "visualization",
            id="an unknown kind of tile",
        ),
    ],
)
def test_a_spoiled_workbook_does_not_load(spoil, told):
    document = workbook.document()
    spoil(document)

    with pytest.raises(ValidationError, match=told):
        loaded(document)


def test_names_and_ids_are_unique_and_each_tab_has_its_link():
    document = loaded(workbook.document())
    groups = [each for each in document.items if each.type == 12]
    (links,) = (each.content.links for each in document.items if each.type == 11)
    (parameters,) = (each.content.parameters for each in document.items if each.type == 9)
    names = [step.name for group in groups for step in group.content.items]
    ids = [each.id for each in (*links, *parameters)]

    assert len(names) == len(set(names))
    assert len(ids) == len(set(ids))
    assert [each.sub_target for each in links] == [group.conditional_visibility.value for group in groups]
    assert [each.name for each in parameters] == ["TimeRange", "Target", "Vantage"]


@pytest.mark.parametrize("name", TILES)
def test_a_tile_binds_and_shows_only_columns_that_it_has(name):
    tile = TILES[name]
    found = shipped()[workbook.as_run(tile.query)]
    columns = found["columns"]
    shown = {column for column, _ in _matched(workbook.settings(tile))}

    assert found["problems"] == []
    assert shown <= columns.keys()
    if tile.chart:
        x, y, split = tile.chart
        assert columns[x] == "datetime"
        assert {columns[each] for each in ([y] if isinstance(y, str) else y)} <= NUMBERS
        assert not split or columns[split] == "string"


def _matched(settings):
    """Return every (column, formatter) in a tile's settings."""
    if isinstance(settings, dict):
        if "columnMatch" in settings:
            yield settings["columnMatch"], settings["formatter"]
        for each in settings.values():
            yield from _matched(each)
    if isinstance(settings, list):
        for each in settings:
            yield from _matched(each)


# For one captured outage, columns of the rows that each tile shows: the first, and how many there are.
SHOWN = {
    "now": (
        2,
        {
            "Target": "store",
            "Vantage": "francecentral",
            "Reads": "served",
            "Primary": "healthy",
            "Secondary": "healthy",
            "Breaker": "closed",
            "Why": "ok: 5 of 5 reads were served by the primary",
        },
    ),
    "probe-silent": (0, {}),
    "availability": (18, {"What": "primary", "Percent": 100.0}),
    "latency": (4, {"Target": "store", "Endpoint": "primary", "Vantage": "francecentral", "Results": 30}),
    "phases": (60, {"Phase": "primary connect", "Milliseconds": 0.9}),
    "breaker": (12, {"Breaker": "store from francecentral", "State": 0.0}),
    "transitions": (8, {"Event": "VerdictChanged", "From": "rerouted", "To": "ok"}),
    "replication": (6, {"RpoSeconds": 900}),
    "errors": (3, {"Endpoint": "primary", "Error": "503", "Purpose": "read", "Attempts": 5.0}),
    "probe-health": (2, {"Vantage": "francecentral", "Completed": 30.0, "Failed": 0.0}),
    "cost": (2, {"Table": "AppMetrics"}),
}


@pytest.mark.parametrize("query", SHOWN)
def test_a_tile_shows_the_outage(query):
    number, first = SHOWN[query]

    rows = tiles.rows_of_tile(query)

    assert len(rows) == number
    assert not first or first.items() <= rows[0].items()


@pytest.mark.parametrize("choice", workbook.parameters()["content"]["parameters"][1:])
def test_a_choice_of_everything_is_what_the_tests_run_the_queries_with(choice):
    """The portal puts quotes around what stands for All, as around each value chosen."""
    written = choice["quote"] + choice["typeSettings"]["selectAllValue"] + choice["quote"]

    assert f"dynamic([{written}])" in workbook.as_run("now")
    assert choice["delimiter"] == ","
    assert choice["value"] == [choice["defaultValue"]] == choice["typeSettings"]["additionalResourceOptions"]


def test_every_tile_is_looked_at():
    assert {tile.query for tile in workbook.every_tile()} == SHOWN.keys()


def test_a_filter_leaves_the_other_vantage_out():
    query = workbook.query("now").replace("{Target}", '"*"').replace("{Vantage}", '"uksouth"')

    assert [each["Vantage"] for each in tiles.run(query)] == ["uksouth"]


def test_a_burst_on_the_primary_shows_as_a_dip_of_its_line_only():
    worst = {}
    for each in tiles.rows_of_tile("availability"):
        worst[each["What"]] = min(each["Percent"], worst.get(each["What"], 100.0))

    assert worst["primary"] < 100.0
    assert (worst["secondary"], worst["reads"]) == (100.0, 100.0)


@pytest.mark.parametrize("name", ["target-names", "vantage-names"])
def test_a_filter_offers_what_reported(name):
    expected = {"target-names": ["store"], "vantage-names": ["francecentral", "uksouth"]}

    assert [next(iter(each.values())) for each in tiles.run(workbook.query(name))] == expected[name]
