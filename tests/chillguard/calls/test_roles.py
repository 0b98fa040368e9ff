from chillguard.calls import roles


def test_each_asset_names_the_roles_that_it_asks():
    asked = roles.asked_by(["juror_1", "juror_2"])
    assert asked["jury_votes/juror_2"] == ("juror_2",)
    assert asked["anchor_votes"] == ("juror_1", "juror_2")
    assert asked["annotated_prompts"] == ("juror_1", "juror_2", "tie_breaker", "categorizer")
