import datetime as dt

import pytest
import yaml

from chillguard.release import approval
from resources.home import approvals

GIVEN = {
    "person": "Lin",
    "date": dt.date(2026, 11, 25),
    "release": "0123456789ab",
    "purposes": ["train"],
}


@pytest.fixture
def write(tmp_path):
    def made(content):
        path = tmp_path / "approval.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), "utf-8")
        return path

    return made


@pytest.mark.parametrize("version", ["0123456789ab", None])
def test_an_approval_is_read_for_its_release_and_purpose(write, version):
    found = approvals.read(write(GIVEN), version, "train")
    assert (found.person, found.date, found.release) == (
        "Lin",
        dt.date(2026, 11, 25),
        GIVEN["release"],
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "cannot be read"),
        ("", "Input should be"),
        ({**GIVEN, "person": ""}, "person: "),
        ({name: GIVEN[name] for name in GIVEN if name != "date"}, "date: Field required"),
        ({**GIVEN, "date": "soon"}, "date: "),
        ({**GIVEN, "purposes": []}, "purposes: "),
        ({**GIVEN, "purposes": ["sell"]}, "purposes.0: "),
        ({**GIVEN, "colour": "red"}, "colour: "),
        ({**GIVEN, "purposes": ["publish"]}, "allows publish, not train"),
        ({**GIVEN, "release": "ffff"}, "is about release ffff, not 0123456789ab"),
    ],
)
def test_a_fault_is_told_in_one_sentence_that_names_the_file(write, content, words):
    path = write(content)
    with pytest.raises(approval.NotApproved) as caught:
        approvals.read(path, "0123456789ab", "train")
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told_with_its_form(tmp_path):
    with pytest.raises(approval.NotApproved, match=r"there is no approval file .* \{person"):
        approvals.read(tmp_path / "none.yaml", None, "train")
