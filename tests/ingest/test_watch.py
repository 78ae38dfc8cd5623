"""When a change of the source is worth a run: the decisions alone, and any sequence of them."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from stock_assets.ingest.watch import Look, Seen, decide

SETTLE = 60.0
FIRST = Seen(fingerprint="a", since=100)
DONE = Seen(fingerprint="a", since=100, done=True)


def never() -> bool:
    raise AssertionError("the content was compared")


def look(fingerprint: str, settle: float = SETTLE) -> Look:
    return Look(fingerprint, settle, lambda _: never())


@pytest.mark.parametrize(
    ("seen", "now", "after", "reason"),
    [
        (Seen(), 100, FIRST, "looks new"),
        (Seen(fingerprint="b", since=50), 100, FIRST, "looks new"),
        (Seen(fingerprint="b", since=50, done=True), 100, FIRST, "looks new"),
        (FIRST, 159.9, FIRST, "held still for 60 s of 60 s"),
        (DONE, 9999, DONE, "no change since 1970-01-01 00:01:40 UTC"),
        # The clock was set back: the time to settle begins anew, and what was done stays done.
        (FIRST, 40, Seen(fingerprint="a", since=40), "looks new"),
        (DONE, 40, DONE, "no change"),
    ],
)
@pytest.mark.parametrize("busy", [False, True])
def test_what_starts_nothing(seen: Seen, now: float, after: Seen, reason: str, busy: bool) -> None:
    decision = decide(seen, look("a"), now, busy, never)

    assert decision.run_key is None
    assert decision.seen == after
    assert reason in decision.reason


def test_a_settled_change_waits_for_the_end_of_a_run() -> None:
    decision = decide(FIRST, look("a"), 160, True, never)

    assert decision[:2] == (FIRST, None)
    assert "has not ended" in decision.reason


def test_settled_content_that_is_published_starts_nothing_and_is_remembered() -> None:
    decision = decide(FIRST, look("a"), 160, False, lambda: True)

    assert decision == (DONE, None, "the source holds what is published")


def test_settled_content_that_is_not_published_is_one_run() -> None:
    decision = decide(FIRST, look("a"), 160, False, lambda: False)

    assert (decision.seen, decision.run_key) == (DONE, "a seen 100.000")
    assert decide(decision.seen, look("a"), 9999, False, never).run_key is None


def test_the_same_look_again_gives_the_same_key() -> None:
    keys = {decide(FIRST, look("a"), now, False, lambda: False).run_key for now in (160, 175, 300)}

    assert keys == {"a seen 100.000"}


def test_even_without_a_time_to_settle_the_second_look_decides() -> None:
    first = decide(Seen(), look("a", 0), 100, False, never)

    assert first.run_key is None
    assert decide(first.seen, look("a", 0), 100, False, lambda: False).run_key == "a seen 100.000"


def test_back_and_forth_is_a_run_each_time() -> None:
    keys, seen, now = [], Seen(), 0.0
    for fingerprint in "abab":
        for _ in range(2):
            now += SETTLE
            decision = decide(seen, look(fingerprint), now, False, lambda: False)
            seen = decision.seen
            keys.append(decision.run_key)

    requested = [key for key in keys if key]
    assert [key[0] for key in requested] == list("abab")
    assert len(set(requested)) == 4


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 2)),  # other content, or the same: a file that was touched
        st.tuples(st.just("undo"), st.none()),  # what the source looked like before, to the nanosecond
        st.tuples(st.just("tick"), st.integers(1, 90)),  # seconds that pass before it
        st.tuples(st.just("run by hand"), st.none()),
        st.tuples(st.just("run ends"), st.booleans()),
    ),
    max_size=60,
)


class World:
    """A source, the runs that publish it, and what the sensor makes of them."""

    def __init__(self) -> None:
        self.now, self.stamps = 0.0, 0
        self.before = self.source = ("stamp 0", 0)
        self.published: int | None = None
        self.running = False
        self.seen = Seen()
        self.still_since = 0.0
        self.requested: list[str] = []
        self.requested_now = False

    def write(self, content: int) -> None:
        self.stamps += 1
        self.before, self.source = self.source, (f"stamp {self.stamps}", content)

    def undo(self, _: None) -> None:
        self.before, self.source = self.source, self.before

    def run_by_hand(self, _: None) -> None:
        self.running = True

    def run_ends(self, success: bool) -> None:
        if self.running and success:
            self.published = self.source[1]
        self.running = False

    def tick(self, seconds: int) -> None:
        self.now += seconds
        stamp, content = self.source
        if stamp != self.seen.fingerprint:
            self.still_since, self.requested_now = self.now, False
        remembered = Seen.model_validate_json(self.seen.model_dump_json())
        decision = decide(remembered, look(stamp), self.now, self.running, lambda: content == self.published)
        self.seen = decision.seen
        if decision.run_key:
            self.check(decision.run_key)

    def check(self, run_key: str) -> None:
        assert self.now - self.still_since >= SETTLE, "requested while it moved"
        assert not self.running, "requested while a run was under way"
        assert self.source[1] != self.published, "requested with nothing new in it"
        assert not self.requested_now, "requested twice for one change"
        assert run_key not in self.requested, "requested with a key that Dagster has seen"
        self.requested.append(run_key)
        self.requested_now = self.running = True


@given(EVENTS)
def test_whatever_happens_each_change_is_one_run(events: list[tuple[str, int | bool | None]]) -> None:
    world = World()
    for name, argument in events:
        getattr(world, name.replace(" ", "_"))(argument)
    failed = world.requested_now and not world.running
    for _ in range(4):  # then nothing happens any more: runs end well, and the sensor looks
        world.run_ends(True)
        world.tick(int(SETTLE))

    assert world.published == world.source[1] or failed
