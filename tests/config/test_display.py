from dataclasses import dataclass, field, replace

from execution_platform.config.display import differences, displayed
from execution_platform.config.secret import environment_secret, literal_secret
from execution_platform.config.values import GatewayKeyConfig, ProviderConfig


@dataclass(frozen=True)
class Whole:
    providers: dict[str, ProviderConfig] = field(default_factory=dict)
    keys: tuple[GatewayKeyConfig, ...] = ()
    version_id: str = ""


OPENAI = ProviderConfig(name="a", kind="openai", models=("m1",), credential=literal_secret("canary-1"))


def found(before: object, after: object) -> list[dict[str, object]]:
    return [difference.as_json() for difference in differences(before, after)]


def test_equal_configurations_do_not_differ_whatever_their_names() -> None:
    assert found(Whole({"a": OPENAI}, version_id="1"), Whole({"a": OPENAI}, version_id="2")) == []


def test_a_difference_names_its_path_and_both_sides() -> None:
    assert found(Whole({"a": OPENAI}), Whole({"a": replace(OPENAI, models=("m1", "m2"))})) == [
        {"path": "providers.a.models", "from": ["m1"], "to": ["m1", "m2"]}
    ]


def test_what_one_side_has_not_is_absent_there() -> None:
    (added,) = found(Whole(), Whole({"a": OPENAI}))
    assert added["path"] == "providers.a"
    assert "from" not in added
    (removed,) = found(Whole({"a": OPENAI}), Whole())
    assert "to" not in removed


def test_members_with_names_are_compared_by_name() -> None:
    one = GatewayKeyConfig(name="one", sha256="1" * 64)
    two = GatewayKeyConfig(name="two", sha256="2" * 64)
    assert found(Whole(keys=(one, two)), Whole(keys=(two, replace(one, admin=True)))) == [
        {"path": "keys.one.admin", "from": False, "to": True}
    ]


def test_a_changed_secret_is_told_without_its_value() -> None:
    changed = replace(OPENAI, credential=literal_secret("canary-2"))
    (difference,) = found(Whole({"a": OPENAI}), Whole({"a": changed}))
    assert difference == {"path": "providers.a.credential", "from": "a literal value", "to": "a literal value"}
    referred = replace(OPENAI, credential=environment_secret("KEY"))
    assert found(Whole({"a": OPENAI}), Whole({"a": referred}))[0]["to"] == "${KEY}"


def test_headers_secret_options_and_digests_are_hidden() -> None:
    given = replace(OPENAI, headers={"x-team": "canary"}, options={"api_secret": "canary", "depth": 3})
    shown = displayed(Whole({"a": given}, keys=(GatewayKeyConfig(name="k", sha256="abcdef12" + "0" * 56),)))
    assert "canary" not in str(shown)
    assert "'depth': 3" in str(shown)
    assert "abcdef12…" in str(shown)
    for changed in (replace(given, headers={"x-team": "canary2"}), replace(given, options={"api_secret": "canary2"})):
        assert "canary" not in str(found(Whole({"a": given}), Whole({"a": changed})))
