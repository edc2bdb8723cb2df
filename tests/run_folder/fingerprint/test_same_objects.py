"""Objects that a run has used are described in their state before it, except for later changes."""

from al_lightning.run_folder.fingerprint.same_objects import as_begun, remember


class Thing:
    pass


def test_traces_of_a_run_do_not_count_and_later_changes_do() -> None:
    thing, other = Thing(), Thing()
    first = {"steps": "0", "lr": "0.1", "gone": "x"}
    last = {"steps": "57", "lr": "0.1", "new": "y"}
    assert as_begun(thing, "model", first) == first
    remember(thing, "model", first, last)
    assert as_begun(thing, "model", last) == first
    assert as_begun(thing, "model", {**last, "lr": "0.2"}) == {**first, "lr": "0.2"}
    assert as_begun(thing, "model", {**last, "steps": "60"}) == {**first, "steps": "60"}
    assert as_begun(thing, "settings", last) == last
    assert as_begun(other, "model", last) == last


def test_an_object_that_is_gone_is_forgotten() -> None:
    from al_lightning.run_folder.fingerprint import same_objects

    thing = Thing()
    remember(thing, "model", {}, {})
    key = (id(thing), "model")
    assert key in same_objects._known
    del thing
    assert key not in same_objects._known


def test_an_object_without_weak_references_is_not_remembered() -> None:
    remember((1, 2), "model", {"a": "1"}, {"a": "2"})
    assert as_begun((1, 2), "model", {"a": "2"}) == {"a": "2"}
