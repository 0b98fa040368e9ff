import pytest
from pydantic import ValidationError

from pipelines import profile
from resources.models.roles import ModelRole, RoleSettings


def test_a_role_has_the_stand_in_engine_until_it_is_told_where_its_model_is():
    role = ModelRole(role="juror_1", model="m")
    assert (role.urls, role.api_key, role.revision) == (["offline"], None, "main")


@pytest.mark.parametrize(
    "wrong",
    [{"concurrency": 0}, {"attempts": 0}, {"salvage": -1}, {"timeout_s": 0}, {"structured": "x"}],
)
def test_a_setting_out_of_its_bounds_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        RoleSettings(model="m", **wrong)


@pytest.mark.parametrize("side", [profile.Role, ModelRole])
def test_profile_and_resource_have_every_setting_with_the_same_default(side):
    for name, field in RoleSettings.model_fields.items():
        assert side.model_fields[name].default == field.default
