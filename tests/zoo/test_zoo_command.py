from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from detkit.cli.zoo import zoo
from detkit.errors import ConfigError


@pytest.fixture
def run(cache):
    def run(*arguments: str):
        return CliRunner().invoke(zoo, arguments, catch_exceptions=False)

    return run


def test_list_shows_whole_names_in_80_columns(run):
    lines = run("list").stdout.splitlines()
    assert max(map(len, lines)) <= 88 and not any("…" in line for line in lines)
    assert lines[1].split() == ["hands", "320x320", "-", "-", "-", "yes", "yes"]
    found = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert found["centernet_hg104_512x512_kpts"] == ["512x512", "40.0", "61.4", "76", "yes", "no"]
    assert found["extremenet"] == ["-", "-", "-", "-", "no", "no"]


def test_list_as_json(run):
    rows = json.loads(run("list", "--json").stdout)
    assert len(rows) == 44 and rows[0]["name"] == "hands" and rows[0]["downloaded"] is True
    assert rows[1]["input_size"] == [320, 320] and rows[1]["box_map"] == 20.2


def test_show(run):
    text = run("show", "ssd_resnet50_v1_fpn_640x640_coco17_tpu-8").stdout
    assert "SSD ResNet50 V1 FPN 640x640 (RetinaNet50)" in text and "640x640" in text and "34.3" in text
    assert "20200711/ssd_resnet50_v1_fpn_640x640_coco17_tpu-8.tar.gz" in text


def test_show_as_json(run):
    assert json.loads(run("show", "hands", "--json").stdout)["classes"] == 7


def test_show_an_unknown_name(run):
    with pytest.raises(ConfigError, match="perhaps hands"):
        run("show", "hnds")


def test_fetch_prints_the_directory(run, server, cache):
    found = run("fetch", "ssd_mobilenet_v2_320x320", "--mirror", server.address)
    assert found.stdout.strip() == str(cache / "20200711" / "ssd_mobilenet_v2_320x320_coco17_tpu-8")
    assert found.stderr == ""
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows if row["downloaded"]] == ["hands", "ssd_mobilenet_v2_320x320"]


def test_fetch_again_by_force(run, server):
    for _ in range(2):
        run("fetch", "ssd_mobilenet_v2_320x320", "--mirror", server.address, "--force")
    assert len(server.requests) == 2


def test_fetch_of_what_cannot_be_built_says_so(run, server, cache):
    found = run("fetch", "extremenet", "--mirror", server.address)
    assert found.exit_code == 0
    checkpoint = cache / "20210507" / "extremenet" / "checkpoint"
    assert found.stderr == f"detkit can't build extremenet; `detkit inspect {checkpoint}` lists its variables.\n"


def test_help_imports_nothing_heavy():
    code = "import sys\nfrom detkit.cli.zoo import zoo\nzoo(['--help'], standalone_mode=False)\n"
    code += "print(sorted({'tensorflow', 'requests', 'rich', 'numpy', 'cv2'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "list" in output and "fetch" in output
    assert output.splitlines()[-1] == "[]"
