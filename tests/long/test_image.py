"""The image's steps, with the packages really installed: about a minute, and a package index is needed."""

import json

from tests.infra.test_elsewhere import CLOSED, built, run, source, steps

__all__ = ["source"]


def test_the_images_steps_in_an_empty_folder_make_a_tick_with_nothing_from_elsewhere(source, tmp_path):
    app = built(source, tmp_path / "app", install=True)
    command = json.loads(dict(steps())["ENTRYPOINT"]) + json.loads(dict(steps())["CMD"])
    interpreter = command.pop(0).replace("/app", str(app))

    told = run(
        [interpreter, *command, "--json"], app, PROBE_STATE=f"file:{tmp_path}/state", ProbedStorage=CLOSED
    )

    assert told.returncode in {1, 3}, told.stderr
    assert [each["name"] for each in json.loads(told.stdout)["targets"]] == ["closed"]
