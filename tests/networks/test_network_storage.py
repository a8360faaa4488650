"""Networks on disk: what comes back, and what is said of a damaged description."""

from __future__ import annotations

import numpy as np
import pytest
from small_network import Colours

from detkit import models
from detkit.errors import CheckpointError, ConfigError
from detkit.networks import storage


def weights(network):
    return {path: variable.numpy() for path, variable in network.variables().items()}


def test_what_is_saved_comes_back(tmp_path, monkeypatch):
    network = Colours(("night", "day"))
    network.initialize(network.variables(), 3)
    models.save(network, tmp_path / "model")
    stored = storage.read(tmp_path / "model")
    assert (stored.task, stored.classes, stored.label_ids) == ("classification", ("night", "day"), (1, 2))
    assert stored.options.name == "LeNet5" and stored.options.size == (8, 8)

    def builder(task, options):
        return lambda options, classes, label_ids, pretrained: Colours(classes, pretrained)

    monkeypatch.setattr(models, "_builder", builder)
    again = models.load(tmp_path / "model")
    ours, theirs = weights(network), weights(again)
    assert all(np.array_equal(ours[path], theirs[path]) for path in ours) and len(ours) == len(theirs) == 9


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("task: juggling\nmodel: {}\nclasses: [a]\nlabel_ids: [1]\n", "juggling"),
        ("task: classification\nmodel: {}\n", "classes"),
        ("[]", "TypeError"),
        ("task: classification\nmodel: {nmae: X}\nclasses: [a]\nlabel_ids: [1]\n", "model.yaml: model.nmae"),
        ("{", "YAML"),
    ],
)
def test_a_damaged_description(tmp_path, text, part):
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(ConfigError, match=part):
        storage.read(tmp_path)


def test_a_checkpoint_of_another_network(tmp_path):
    models.save(Colours(("a", "b", "c")), tmp_path)
    with pytest.raises(CheckpointError, match="head/logits/kernel"):
        storage.restore(Colours(), tmp_path)
