"""The commands, each in a module of its own."""

from __future__ import annotations

import typer

from serve_app.cli.admin.allowing import allow, deny
from serve_app.cli.admin.banning import ban
from serve_app.cli.admin.decisions import decisions, forget, why
from serve_app.cli.admin.lists import (
    list_add,
    list_banks,
    list_confirm,
    list_export,
    list_import,
    list_remove,
    list_show,
)
from serve_app.cli.admin.purges import purges
from serve_app.cli.admin.worker_list import workers_app
from serve_app.cli.application import application
from serve_app.cli.calibration.calibrating import calibrate
from serve_app.cli.calibration.evaluating import evaluate
from serve_app.cli.calibration.training import train
from serve_app.cli.check.canary import canary
from serve_app.cli.check.checking import check
from serve_app.cli.configuration.notices import notices_test
from serve_app.cli.configuration.presets import presets
from serve_app.cli.configuration.upgrading import settings_upgrade
from serve_app.cli.launch.serving import serve
from serve_app.cli.launch.working import worker
from serve_app.cli.models.comparing import model_compare
from serve_app.cli.models.converting import model_convert
from serve_app.cli.models.fetching import model_fetch
from serve_app.cli.policy.explaining import policy_explain
from serve_app.cli.policy.policies import policy_check, policy_from_horde_safety, policy_show
from serve_app.cli.policy.replay import policy_replay
from serve_app.cli.storage.backing_up import backup
from serve_app.cli.storage.hunting import hunt
from serve_app.cli.storage.reporting import storage_forget, storage_report
from serve_app.cli.storage.rescanning import rescan
from serve_app.cli.storage.scan import storage_scan

app = application()
app.command()(check)
app.command()(canary)
app.command()(rescan)
app.command()(serve)
app.command()(worker)
app.command()(presets)
app.command()(decisions)
app.command()(why)
app.command()(allow)
app.command()(deny)
app.command()(ban)
app.command()(hunt)
app.command()(purges)
app.command()(forget)
app.command()(backup)
app.command()(calibrate)
app.command()(evaluate)
app.command()(train)
list_app = typer.Typer(no_args_is_help=True, help="Known pictures: which are allowed, which are denied.")
list_app.command("add")(list_add)
list_app.command("remove")(list_remove)
list_app.command("confirm")(list_confirm)
list_app.command("show")(list_show)
list_app.command("banks")(list_banks)
list_app.command("import")(list_import)
list_app.command("export")(list_export)
app.add_typer(list_app, name="list")
storage_app = typer.Typer(no_args_is_help=True, help="Pictures that are stored already: scan them all.")
storage_app.command("scan")(storage_scan)
storage_app.command("report")(storage_report)
storage_app.command("forget")(storage_forget)
app.add_typer(storage_app, name="storage")
policy_app = typer.Typer(no_args_is_help=True, help="Check, show, try and make policies.")
policy_app.command("check")(policy_check)
policy_app.command("show")(policy_show)
policy_app.command("explain")(policy_explain)
policy_app.command("replay")(policy_replay)
policy_app.command("from-horde-safety")(policy_from_horde_safety)
app.add_typer(policy_app, name="policy")
model_app = typer.Typer(no_args_is_help=True, help="Fetch, compare and convert models.")
model_app.command("fetch")(model_fetch)
model_app.command("compare")(model_compare)
model_app.command("convert")(model_convert)
app.add_typer(model_app, name="model")
notices_app = typer.Typer(no_args_is_help=True, help="Notices to admins: try them.")
notices_app.command("test")(notices_test)
app.add_typer(notices_app, name="notices")
app.add_typer(workers_app, name="workers")
settings_app = typer.Typer(no_args_is_help=True, help="Upgrade configuration files.")
settings_app.command("upgrade")(settings_upgrade)
app.add_typer(settings_app, name="settings")
