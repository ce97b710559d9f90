"""The extension asks for its next event only when the work is done and what was held back is sent."""

from handler.runs.hold import Hold


def test_exporters_are_flushed_after_the_work_and_before_the_sandbox_may_freeze() -> None:
    happened: list[str] = []
    busy = [True, True, False]
    hold = Hold(
        lambda: busy.pop(0),
        lambda seconds: happened.append(f"wait {seconds}"),
        before_freeze=lambda: happened.append("flush"),
    )
    hold.returned("request-1")
    hold._outlast("request-1")
    assert happened == ["wait 1.0", "wait 1.0", "flush"]
