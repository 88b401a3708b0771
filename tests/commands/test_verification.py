import json
import stat

import pytest


def test_a_sound_run(call, own_run):
    code, out, err = call("verify", own_run)
    assert (code, err) == (0, "")
    assert out.startswith(f"sound: {own_run} (15 files, 2 members,")
    assert json.loads(call("verify", own_run, "--json")[1])["sound"] is True


def test_every_finding_is_listed_then_accepted_and_the_advice_works(call, own_run):
    (own_run / "events.jsonl").write_text("{}\n")
    (own_run / "report.html").unlink()
    code, out, err = call("verify", own_run)
    assert (code, out) == (5, "")
    assert err.startswith(f"error: {own_run}: 2 findings:\n  events.jsonl: altered after it was written: 3 bytes, and ")
    assert "\n  report.html: removed after it was written\n" in err
    assert err.endswith(f"record them as they are: ensemble-uq verify {own_run} --accept\n")
    code, out, _ = call("verify", own_run, "--json")
    assert code == 5
    assert [each["file"] for each in json.loads(out)["findings"]] == ["events.jsonl", "report.html"]
    code, out, err = call("verify", own_run, "--accept")
    assert (code, err) == (0, "")
    assert out.startswith("accepted as it is:\n  events.jsonl: altered")
    assert call("verify", own_run)[0] == 0


def test_what_does_not_fit_is_told_after_it_was_accepted_and_made_again(call, own_run):
    path = own_run / "predictions" / "validation.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    code, _, err = call("verify", own_run, "--accept")
    assert code == 5
    assert "metrics/validation.json: made from another predictions/validation.parquet than the one there is now" in err
    code, _, err = call("report", own_run)
    assert code == 5
    assert f"evaluate again: ensemble-uq evaluate {own_run}\n" in err
    assert call("predict", own_run, "--evaluate")[0] == 0
    assert call("verify", own_run)[0] == 0


def test_a_folder_that_cannot_be_written_is_verified(call, own_run):
    places = [own_run, *own_run.rglob("*")]
    for path in places:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = sorted(own_run.rglob("*"))
    assert call("verify", own_run)[0] == 0
    assert sorted(own_run.rglob("*")) == before
    for path in places:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("nope", 3, "there is no such file or folder"),
        ("tiny.yaml", 2, "a file, and what is verified is the folder"),
    ],
)
def test_what_is_no_folder(call, tiny_yaml, name, code, said):
    got, _, err = call("verify", tiny_yaml.parent / name)
    assert (got, said in err) == (code, True)
