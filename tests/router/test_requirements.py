import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.exceptions import InvalidRequest
from execution_platform.router.requirements import RequestNeeds, joined, needs_of, normalise, unmet
from execution_platform.spi.profile import CAPABILITIES, ModelProfile

TIERS = ["none", "prompted", "simulated", "native"]
PLAIN = [name for name in CAPABILITIES if name not in {"tool_calling", "context_window", "region"}]


@given(st.sampled_from(TIERS[1:]), st.sampled_from(TIERS))
def test_a_tier_is_met_by_itself_and_by_better_ones(wanted, offered):
    lacks = unmet({"tool_calling": wanted}, ModelProfile(tool_calling=offered))
    assert bool(lacks) == (TIERS.index(offered) < TIERS.index(wanted))


@given(st.integers(1, 10**7), st.one_of(st.none(), st.integers(1, 10**7)))
def test_a_context_window_means_at_least(wanted, offered):
    lacks = unmet({"context_window": wanted}, ModelProfile(context_window=offered))
    assert bool(lacks) == (offered is None or offered < wanted)


@given(st.dictionaries(st.sampled_from(PLAIN), st.booleans()), st.dictionaries(st.sampled_from(PLAIN), st.booleans()))
def test_exactly_what_is_wanted_and_not_offered_is_unmet(wanted, offered):
    profile = ModelProfile(**offered)
    lacks = unmet(wanted, profile)
    assert lacks == [f"needs {name}" for name, want in wanted.items() if want and not getattr(profile, name)]


@pytest.mark.parametrize(
    ("requires", "facts", "reason"),
    [
        ({"tool_calling": "native"}, {"tool_calling": "prompted"}, "needs tool_calling native, offers prompted"),
        ({"tool_calling": True}, {"tool_calling": "none"}, "needs tool_calling prompted or better, offers none"),
        ({"context_window": 9}, {"context_window": 8}, "needs context_window 9, offers 8"),
        ({"context_window": 9}, {}, "needs context_window 9, which is not known of this model"),
        ({"region": "eu"}, {"region": "us"}, "needs region eu, runs in us"),
        ({"region": "eu"}, {}, "needs region eu, runs in an unknown one"),
        ({"vision": True}, {}, "needs vision"),
    ],
)
def test_reasons_can_be_read(requires, facts, reason):
    assert unmet(requires, ModelProfile(**facts)) == [reason]


def test_every_lack_is_told():
    assert unmet({"vision": True, "audio": True}, ModelProfile()) == ["needs vision", "needs audio"]


def test_what_a_request_contains_becomes_requirements():
    assert needs_of(RequestNeeds()) == {}
    assert needs_of(RequestNeeds(tools=True, images=True, audio=True, documents=True, json=True, json_schema=True)) == {
        "tool_calling": "prompted",
        "vision": True,
        "audio": True,
        "pdf": True,
        "json_mode": True,
        "json_schema": True,
    }
    assert needs_of(RequestNeeds(embeddings=True, logprobs=True, input_tokens=7)) == {
        "embeddings": True,
        "logprobs": True,
        "context_window": 7,
    }


def test_a_requests_list_means_true_and_false_asks_for_nothing():
    assert normalise(["vision", "tool_calling"]) == {"vision": True, "tool_calling": "prompted"}
    assert normalise({"vision": False, "tool_calling": "none", "audio": None, "context_window": 5}) == {
        "context_window": 5
    }
    assert normalise({"tool_calling": "native", "region": "eu"}) == {"tool_calling": "native", "region": "eu"}
    assert normalise(None) == {}


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        ({"tool_callin": "native"}, "requires.tool_callin: unknown capability. Did you mean tool_calling?"),
        (["visin"], "Did you mean vision?"),
        ([5], "requires.5: unknown capability"),
        ({"tool_calling": "best"}, "must be one of native, simulated, prompted"),
        ({"tool_calling": 2}, "must be one of native"),
        ({"context_window": "big"}, "must be a number of tokens"),
        ({"context_window": True}, "must be a number of tokens"),
        ({"context_window": 0}, "must be a number of tokens"),
        ({"region": True}, "must be the name of a region"),
        ({"vision": "yes"}, "must be true or false"),
        ({"vision": 1}, "must be true or false"),
    ],
)
def test_a_requests_mistake_is_told(requires, said):
    with pytest.raises(InvalidRequest, match=said.replace("?", r"\?")) as caught:
        normalise(requires)
    assert str(caught.value.param).startswith("requires.")


def test_an_unhashable_requirement_is_told_too():
    with pytest.raises(InvalidRequest, match="must be one of native"):
        normalise({"tool_calling": ["native"]})


REQUIRES = st.fixed_dictionaries(
    {},
    optional={
        "tool_calling": st.sampled_from(TIERS[1:]),
        "context_window": st.integers(1, 100),
        "vision": st.just(True),
        "audio": st.just(True),
    },
)
PROFILES = st.builds(
    ModelProfile,
    tool_calling=st.sampled_from(TIERS),
    context_window=st.integers(1, 100),
    vision=st.booleans(),
    audio=st.booleans(),
)


@given(REQUIRES, REQUIRES, PROFILES)
def test_joined_requirements_are_met_exactly_when_both_are(one, other, profile):
    both = not unmet(one, profile) and not unmet(other, profile)
    assert (not unmet(joined(one, other), profile)) == both
    assert (not unmet(joined(other, one), profile)) == both
