"""A finished export brought to this machine and proven, in a thread of the app; what was stopped goes on later."""

from __future__ import annotations

import threading
from pathlib import Path

from textual import on, work
from textual.message import Message

from vmie_tui.model.errors import Problem, problem_of
from vmie_tui.operations.exports import DownloadStopped, Fetch
from vmie_tui.screens.frame.base import FrameScreen
from vmie_tui.screens.frame.form import Answers, Ask, FormScreen
from vmie_tui.services.aws.s3.download import Downloaded
from vmie_tui.widgets.exports import ExportRow
from vmie_tui.widgets.text import size


class Downloads(FrameScreen):
    """A screen with an export in view; ``download`` is the progress in words, "" when none runs."""

    class Brought(Message):
        """So many bytes of a download are here; or it has ended, with what came of it."""

        def __init__(
            self, here: int = 0, total: int = 0, *, done: Downloaded | None = None, problem: Problem | None = None
        ) -> None:
            super().__init__()
            self.here, self.total, self.done, self.problem = here, total, done, problem

        @property
        def ended(self) -> bool:
            return self.total == 0

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Downloads.Brought) and not message.ended

    def __init__(self) -> None:
        super().__init__()
        self.download = ""
        self.fetched: dict[str, str] = {}  # what came of the downloads of this session, by task
        self._of = ""
        self._stop = threading.Event()

    @property
    def aws_region(self) -> str:
        raise NotImplementedError

    @property
    def export_in_view(self) -> ExportRow | None:
        raise NotImplementedError

    def show_progress(self) -> None:
        """Called when ``download`` changed."""
        raise NotImplementedError

    def on_unmount(self) -> None:
        self._stop.set()

    def stop_download(self) -> None:
        self._stop.set()
        self.tell("The download is stopped; v goes on with it where it was.")

    def action_download(self) -> None:
        """Ask where to, then bring the object of a finished export here and prove it."""
        export = self.export_in_view
        task = export.task if export else None
        if task is None or not task.completed:
            self.tell("Only a completed export has an object to download: tab shows the exports.")
            return
        if self.download:
            self.tell(f"Still busy: {self.download}. esc stops it.")
            return

        def wrong(answers: Answers) -> dict[str, str]:
            folder = Path(answers["folder"]).expanduser()
            return {} if folder.is_dir() else {"folder": "there is no such folder"}

        def answered(answers: dict[str, str] | None) -> None:
            if answers is not None:
                self._stop.clear()
                self.download, self._of = "looking for the object", task.id
                self.show_progress()
                self._fetch(Fetch(task, self.aws_region, answers["folder"]))

        ask = Ask("folder", "Folder", str(Path.cwd()), "a folder on this machine")
        text = "The object is read from S3 in ranges and proven by the checksum S3 keeps of it; what was there goes on."
        self.app.push_screen(FormScreen(f"Download {task.id}", text, (ask,), yes="Download", check=wrong), answered)

    @work(thread=True, exclusive=True, group="download", exit_on_error=False)
    def _fetch(self, wanted: Fetch) -> None:
        told = -1

        def on_bytes(here: int, total: int) -> None:
            nonlocal told
            percent = here * 100 // max(1, total)
            if percent != told:
                told = percent
                self.post_message(self.Brought(here, max(1, total)))

        try:
            done = self.operations.exports.fetch(wanted, on_bytes, self._stop.is_set)
        except DownloadStopped:
            self.post_message(self.Brought())
        except Exception as error:  # noqa: BLE001 - whatever a worker meets is shown in words
            self.post_message(self.Brought(problem=problem_of(error)))
        else:
            self.post_message(self.Brought(done=done))

    @on(Brought)
    def _brought(self, event: Brought) -> None:
        self.download = "" if event.ended else f"download {event.here * 100 // event.total}% of {size(event.total)}"
        if event.done is not None:
            done = event.done
            words = f"{done.path}: {done.size:,} bytes, equal to the object by its {done.proven}."
            self.fetched[self._of] = words
            self.tell(words)
        elif event.problem is not None:
            self.tell(f"The download failed. {event.problem}", error=True)
        self.show_progress()
