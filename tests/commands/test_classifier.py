"""Training a classifier and evaluating it, as people do."""

import json


def test_a_classifier_is_trained_and_evaluated(snnl, tmp_path):
    train = ["classifier", "train", "cnn", "--width", "4", "--epochs", "1", "--alpha", "-0.01", "--snnl-layers", "fc1"]
    done = snnl(*train, "--temperature", "20", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = json.loads(done.stdout.splitlines()[-1])["folder"]
    assert f"Next: snnl classifier evaluate {folder}" in done.stderr
    done = snnl("classifier", "evaluate", folder, "--splits", "test,validation", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, *rows, last = done.stdout.splitlines()
    assert header.split() == ["split", "accuracy", "nll", "ece", "n"]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [("test", "500"), ("validation", "130")]
    found = json.loads(last)["splits"]["test"]
    assert 0 <= found["accuracy"] <= 1 and found["nll"] > 0 and found["n"] == 500


def test_the_help_says_in_words_what_alpha_does(snnl):
    text = " ".join(snnl("classifier", "train", "cnn", "--help").stdout.split())
    assert "negative entangles the classes there, as in the paper; positive disentangles them" in text
