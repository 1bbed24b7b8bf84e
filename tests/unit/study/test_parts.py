import pytest

from study.parts import PARTS, Part
from workers.spec import load_spec, with_files


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_specification_is_valid(part: Part) -> None:
    text = part.specification.read_text(encoding="utf-8")
    spec = load_spec(with_files(text, part.specification.parent))
    assert len(spec.seeds) > 1, "one seed has no intervals"
    if part.tests_claims:
        assert spec.labels == ("sa-sam", "sam", "sa-sgd", "msgd", "adam")
        assert all(spec.configuration_count(label) >= 4 * 2 for label in spec.labels)


def test_learning_rates_of_digits_leave_optima_inside() -> None:
    (digits,) = (part for part in PARTS if part.name == "digits")
    spec = load_spec(digits.specification.read_text(encoding="utf-8"))
    assert spec.trial_count == 5 * 7 * 2 * 5
