"""The one registry of actions: key bindings, footer hints, the help screen and the palette all derive from it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

MOST_HINTS = 7


@dataclass(frozen=True, slots=True)
class Action:
    """Something a user can do."""

    id: str
    keys: str  # Textual key names, separated by commas; the first is the one shown
    run: str  # the Textual action
    description: str
    tooltip: str
    hint: str = ""  # the footer's word; empty: not in the footer
    shown: str = ""  # how the key is shown, where not by its name
    palette: bool = True  # whether the command palette offers it

    @property
    def key(self) -> str:
        """The key as people read it."""
        first = self.keys.split(",")[0]
        return self.shown or KEY_NAMES.get(first, first)


KEY_NAMES = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "escape": "esc",
    "greater_than_sign": ">",
    "left": "←",
    "right": "→",
    "ctrl+p": "^p",
    "ctrl+q": "^q",
}

APP = (
    Action("app.inventory", "1", "mode('inventory')", "Inventory", "The virtual machines vCenter lets you see"),
    Action("app.jobs", "2", "mode('jobs')", "Jobs", "Imports and exports running, waiting and done"),
    Action("app.tasks", "3", "mode('tasks')", "Tasks", "What AWS imports and exports, in any account and Region"),
    Action(
        "app.exports", "4", "mode('exports')", "Exports", "Instances and AMIs that can leave EC2, and those that do"
    ),
    Action(
        "app.replication", "5", "mode('replication')", "Replication", "Machines copied again and again on a schedule"
    ),
    Action("app.setup", "6", "mode('setup')", "Setup", "What is missing in AWS, vCenter and here; fixes it"),
    Action(
        "app.palette", "colon,ctrl+p", "command_palette", "Commands", "Find an action by name", "command", palette=False
    ),
    Action("app.help", "question_mark,f1", "help", "Help", "All keys of this screen", "help"),
    Action("app.login", "L", "login", "Log in again", "Check the AWS login, ask for the vCenter password"),
    Action("app.profiles", "P", "profiles", "Profiles…", "Another vCenter, account and Region; jobs go on"),
    Action("app.quit", "q,ctrl+q", "quit", "Quit", "Leave; running jobs go on in the worker", "quit"),
)

INVENTORY = (
    Action("inventory.mark", "space", "mark", "Select VM", "Mark the VM for import and go to the next", "select"),
    Action("inventory.import", "i", "import_marked", "Import…", "Import the selected VMs, or the one here", "import"),
    Action("inventory.replicate", "R", "replicate_marked", "Replicate…", "Copy the selected VMs on a schedule"),
    Action("inventory.report", "p", "report", "Preflight", "Look into the disks; the full report", "preflight"),
    Action("inventory.open", "o", "open_source", "Open…", "A disk image, an object in S3, or EBS snapshots", "open"),
    Action(
        "inventory.filter",
        "slash",
        "filter",
        "Filter",
        "Words, !word; also blocker, warning, ready, looked, ?",
        "filter",
    ),
    Action("inventory.tree", "t", "tree", "Folders…", "Show one datacenter, folder or cluster only", "folders"),
    Action("inventory.sort", "s", "sort", "Sort", "Sort by the next column; click a heading for one", "sort"),
    Action("inventory.reverse", "S", "reverse", "Reverse order", "Turn the order round"),
    Action("inventory.all", "a", "mark_all", "Select all shown", "Mark all VMs that the filter shows, or none"),
    Action("inventory.detail", "d", "detail", "Detail pane", "Show or hide findings and disks"),
    Action("inventory.refresh", "r", "refresh_inventory", "Refresh", "Read the inventory from vCenter again"),
    Action("inventory.clear", "escape", "clear", "Clear", "Clear the filter, then the folder, then the selection"),
)

JOBS = (
    Action("jobs.open", "enter", "open", "Open job", "Stages, disks and the whole log of one job", "open"),
    Action("jobs.pause", "p", "pause", "Pause", "Stop the transfer, keep what was uploaded", "pause"),
    Action("jobs.resume", "r", "resume", "Resume or retry", "Go on where the job stopped", "resume"),
    Action("jobs.cancel", "x", "cancel", "Cancel…", "Stop the job and clean up; asks first", "cancel"),
    Action("jobs.after", "a", "after", "After import…", "The AMI: test launch, copies, names, deregister"),
    Action("jobs.proof", "v", "proof", "Proof…", "Host's, received and stored checksums side by side"),
    Action("jobs.fallback", "b", "fallback", "Use what is in AWS…", "Conversion failed: an AMI of the bytes as is"),
    Action("jobs.explain", "e", "explain", "Explain", "What the problem means, and what to do about it"),
    Action("jobs.copy", "y", "copy", "Copy result", "The AMI id, or the problem in words", "copy"),
)

JOB = (
    Action("job.back", "escape", "back", "Back", "Back to the list of jobs", "back"),
    *JOBS[1:],
)

PROOF = (
    Action("proof.back", "escape", "back", "Back", "Back to the job", "back"),
    Action("proof.copy", "y", "copy", "Copy as Markdown", "The whole proof, also to a file", "copy"),
    Action("proof.again", "r", "again(False)", "Compare again", "Read samples of the blocks once more", "again"),
    Action(
        "proof.all", "b", "again(True)", "All blocks", "Read every block with data back, not only samples", "all blocks"
    ),
)

AFTER = (
    Action("after.back", "escape", "back", "Back", "Back to the job", "back"),
    Action("after.launch", "l", "launch", "Launch test instance…", "An instance of the AMI; asks first", "launch"),
    Action("after.console", "c", "console", "Console output", "What the guest wrote to its serial console", "console"),
    Action("after.screenshot", "s", "screenshot", "Screenshot", "A picture of the console, saved to a file", "picture"),
    Action("after.terminate", "t", "terminate", "Terminate…", "Delete the test instance; asks first", "terminate"),
    Action("after.copy", "o", "copy_image", "Copy to Region…", "The AMI in another Region too", "copy to"),
    Action("after.rename", "n", "rename", "Rename…", "The Name tag of the AMI and its snapshots"),
    Action("after.deregister", "d", "deregister", "Deregister…", "Delete the AMI and its snapshots; asks first"),
    Action("after.delete", "x", "delete_objects", "Delete objects…", "Delete what the job left in S3; asks first"),
    Action("after.again", "r", "again", "Refresh", "Read the AMI and its instance again"),
    Action("after.text", "y", "copy", "Copy ids", "The AMI's and the instance's ids, and the console"),
)

_TASK = (
    Action("tasks.watch", "w", "watch", "Watch", "Follow this task alone, one line per change", "watch"),
    Action("tasks.raw", "j", "raw", "Raw JSON", "What AWS said of the task, as it is", "JSON"),
    Action("tasks.copy", "y", "copy", "Copy report", "A Markdown report for a ticket, also to a file", "copy"),
    Action("tasks.bundle", "b", "bundle", "Bundle", "Pack task, timeline, versions and log into a zip"),
    Action(
        "tasks.cancel", "x", "cancel", "Cancel task…", "AWS stops it and removes what it made; asks first", "cancel"
    ),
)

TASKS = (
    Action("tasks.open", "enter", "open", "Open task", "All that is known of the task", "open"),
    Action("tasks.filter", "slash", "filter", "Filter", "Words, !word, state= kind= last=7d tag= region=", "filter"),
    Action("tasks.places", "R", "places", "Regions…", "Which Regions, and which profiles, to look at", "Regions"),
    *_TASK,
    Action("tasks.sort", "s", "sort", "Sort", "Sort by the next column; click a heading for one"),
    Action("tasks.reverse", "S", "reverse", "Reverse order", "Turn the order round"),
    Action("tasks.detail", "d", "detail", "Detail pane", "Show or hide what happened"),
    Action("tasks.refresh", "r", "refresh_tasks", "Read again", "Read all tasks from AWS once more"),
    Action("tasks.clear", "escape", "clear", "Clear", "Clear the filter"),
)

TASK = (
    Action("task.back", "escape", "back", "Back", "Back to the list of tasks", "back"),
    *_TASK,
)

RAW = (
    Action("raw.back", "escape,j", "back", "Back", "Back to the task", "back"),
    Action("raw.copy", "y", "copy", "Copy JSON", "All of it, also to a file", "copy"),
)

WATCH = (
    Action("watch.back", "escape,w", "back", "Back", "Stop watching", "back"),
    Action("watch.copy", "y", "copy", "Copy lines", "What was seen, also to a file", "copy"),
)

EXPORTS = (
    Action("exports.open", "enter", "open", "All findings", "Everything that is known of one", "open"),
    Action("exports.tab", "tab,t", "other_tab", "Other tab", "Instances and AMIs, or the exports", "other tab"),
    Action(
        "exports.export", "x,e", "export", "Export…", "Choose format and place, see what stands in the way", "export"
    ),
    Action("exports.download", "v", "download", "Download…", "Verify a finished export and bring it here", "download"),
    Action("exports.filter", "slash", "filter", "Filter", "Words that must be there, !word must not", "filter"),
    Action("exports.region", "R", "region", "Region…", "Look in another Region"),
    Action("exports.copy", "y", "copy", "Copy", "Its id, or the object's place"),
    Action("exports.refresh", "r", "refresh_exports", "Read again", "Read all from AWS again"),
    Action("exports.clear", "escape", "clear", "Clear", "Stop the download, else clear the filter"),
)

EXPORT_SOURCE = (
    Action("source.back", "escape", "back", "Back", "Back to the list", "back"),
    Action("source.export", "x,e", "export", "Export…", "Choose format and place", "export"),
    Action("source.again", "r", "again", "Look again", "Read it from AWS once more", "look again"),
)

EXPORT_FORM = (
    Action("form.back", "escape", "back", "Back", "Leave without starting anything", "back"),
    Action("form.start", "f5,ctrl+s", "start", "Start", "Start the export as a job", "start", "^s"),
    Action("form.grant", "f4,ctrl+g", "grant", "Allow…", "See and make the change the bucket needs", "", "^g"),
    Action(
        "form.deploy", "f6,ctrl+t", "deploy", "Into vCenter…", "Make a VM in vCenter of it, too", "into vCenter", "^t"
    ),
    Action("form.copy", "f3,ctrl+y", "copy", "Copy command", "The same as a 'vmie-tui' command", "copy", "^y"),
    Action("form.again", "f2,ctrl+r", "look", "Look again", "Read source and bucket again", "look again", "^r"),
)

REPLICATION_FORM = (
    Action("replicate.back", "escape", "back", "Back", "Leave without starting or changing anything", "back"),
    Action(
        "replicate.start", "f5,ctrl+s", "start", "Start or save", "Start the replications, or save it", "start", "^s"
    ),
    Action("replicate.copy", "f3,ctrl+y", "copy", "Copy command", "The same as a 'vmie-tui' command", "copy", "^y"),
    Action("replicate.again", "f2,ctrl+r", "look", "Judge again", "Ask the rules once more", "look again", "^r"),
)

CATALOGUE = (
    Action("catalogue.back", "escape", "clear", "Back", "Clear the filter, then back to the replications", "back"),
    Action("catalogue.new", "n", "new", "Replicate…", "Replicate this server, or the selected ones", "replicate"),
    Action("catalogue.mark", "space", "mark", "Select server", "Mark it, and go to the next", "select"),
    Action("catalogue.import", "i", "import_catalogue", "Import", "Read all servers from vCenter (again)", "import"),
    Action("catalogue.filter", "slash", "filter", "Filter", "Words that must be there, !word must not", "filter"),
    Action("catalogue.clear", "x", "clear_catalogue", "Clear catalogue…", "Forget the list; asks first", "clear"),
    Action("catalogue.copy", "y", "copy", "Copy", "All servers shown, as lines"),
    Action("catalogue.again", "r", "again", "Refresh", "Read what is known once more"),
)

CUTOVER = (
    Action("cutover.back", "escape", "back", "Back", "Back; a cutover at work goes on", "back"),
    Action("cutover.test", "t", "test", "Test launch…", "The newest AMI: launch it, see whether it boots", "test"),
    Action("cutover.final", "c", "cut_over", "Cut over…", "Shut down, last delta, launch; asks first", "cut over"),
    Action("cutover.job", "enter", "open", "Open run", "Stages, disks and log of the final run", "open run"),
    Action("cutover.undo", "R", "roll_back", "Roll back…", "Instance stopped, VM on again; asks first", "roll back"),
    Action("cutover.next", "n", "next(1)", "Next server", "The next one of the group"),
    Action("cutover.previous", "N", "next(-1)", "Previous server", "The one before in the group"),
    Action("cutover.again", "r", "again", "Refresh", "Look once more at once"),
    Action("cutover.copy", "y", "copy", "Copy", "The ids and what was done"),
)

REPLICATION = (
    Action("replication.open", "enter", "open", "Open run", "Stages, disks and the whole log of the run", "log"),
    Action("replication.new", "n", "new", "New…", "Choose VMs to copy on a schedule", "new"),
    Action("replication.run", "r", "run_now", "Run now…", "A run beside the schedule; resync if wanted", "run now"),
    Action("replication.pause", "p", "pause", "Pause or resume", "Runs at their time are left out until then", "pause"),
    Action("replication.cutover", "C", "cutover", "Cutover…", "Shut down, last delta, launch in EC2", "cutover"),
    Action("replication.catalogue", "c", "catalogue", "Catalogue…", "Servers of this vCenter as imported", "catalogue"),
    Action("replication.edit", "e", "edit", "Edit…", "Interval, next run, AMIs to keep and more"),
    Action("replication.mark", "space", "mark", "Select", "Select several to run, pause, extend or delete"),
    Action("replication.group", "o", "start_group", "Start group…", "One run of each of its group, in their order"),
    Action("replication.extend", "x", "extend", "Extend…", "More days for the VM than the documented ones"),
    Action("replication.delete", "d", "delete", "Delete…", "The schedule and what runs keep; AMIs stay; asks first"),
    Action("replication.back", "R", "roll_back", "Roll back…", "After a cutover: stop the instance, VM on; asks first"),
    Action("replication.after", "a", "after", "AMI of the run…", "Test launch, copies, names, deregister"),
    Action("replication.proof", "v", "proof", "Proof…", "What the run read and what AWS holds, side by side"),
    Action("replication.filter", "slash", "filter", "Filter", "Words, !word: server, group, state, AMI, reason"),
    Action("replication.sort", "s", "sort", "Sort", "Sort by the next column; click a heading for one"),
    Action("replication.reverse", "S", "reverse", "Reverse order", "Turn the order round"),
    Action("replication.copy", "y", "copy", "Copy", "The AMI of the run, or the reason it has none"),
    Action(
        "replication.clock",
        "greater_than_sign",
        "advance",
        "Clock forward…",
        "Set the simulated clock of the demo forward",
    ),
    Action("replication.clear", "escape", "clear", "Clear", "Clear the filter, then the selection"),
)

SETUP = (
    Action("setup.open", "enter", "open", "Details", "All that was seen, and what to do about it", "details"),
    Action("setup.fix", "f", "fix", "Fix…", "See the exact change, then make it; asks first", "fix"),
    Action("setup.next", "n", "problem(1)", "Next problem", "The next check that is not in order", "next problem"),
    Action("setup.previous", "N", "problem(-1)", "Previous problem", "The one before that is not in order"),
    Action("setup.again", "r", "again", "Look again", "Look at everything once more", "look again"),
    Action("setup.policy", "o", "policy", "Policy…", "A least-privilege policy for an administrator", "policy"),
    Action("setup.copy", "y", "copy", "Copy as Markdown", "The whole checklist, also to a file"),
)

WIZARD = (
    Action("wizard.back", "left,pageup", "step(-1)", "Step back", "What was entered stays", "back"),
    Action("wizard.next", "right,pagedown", "step(1)", "Next step", "What was entered stays", "next"),
    Action("wizard.report", "p", "report", "Preflight", "Look into the disks; the full report"),
    Action("wizard.copy", "y", "copy", "Copy command", "The same import as an 'aws ec2' command"),
    Action("wizard.close", "escape", "close", "Close", "Leave without starting anything", "close"),
)


OPEN = (
    Action("open.back", "escape", "back", "Back", "Back to the inventory", "back"),
    Action("open.import", "i", "import", "Import…", "The wizard for what was found", "import"),
    Action("open.edit", "slash,o", "edit", "Name another", "Back to the line to type in"),
    Action("open.again", "r", "again", "Look again", "Read it once more", "look again"),
    Action("open.copy", "y", "copy", "Copy as Markdown", "The whole report, also to a file", "copy"),
)

REPORT = (
    Action("report.back", "escape", "back", "Back", "Back to where you were", "back"),
    Action("report.next", "n", "next(1)", "Next VM", "The report of the next selected VM"),
    Action("report.previous", "N", "next(-1)", "Previous VM", "The report of the one before"),
    Action("report.again", "r", "again", "Look again", "Read the disks once more", "look again"),
    Action("report.copy", "y", "copy", "Copy as Markdown", "The whole report, also to a file", "copy"),
    Action("report.unattend", "u", "unattend", "Save unattend.xml", "The answer file for Sysprep, for Windows"),
)


def bindings(*groups: tuple[Action, ...]) -> list[Binding]:
    """Textual bindings of groups of actions."""
    return [
        Binding(
            action.keys,
            action.run,
            action.description,
            show=bool(action.hint),
            key_display=action.key,
            tooltip=action.tooltip,
            id=action.id,
        )
        for group in groups
        for action in group
    ]


def hints(*groups: tuple[Action, ...]) -> tuple[tuple[str, str], ...]:
    """(key, word) for the footer: at most `MOST_HINTS` of them."""
    return tuple((action.key, action.hint) for group in groups for action in group if action.hint)[:MOST_HINTS]
