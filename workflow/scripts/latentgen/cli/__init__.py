"""The command `latentgen`: one module per subcommand, imported when it is called.

To add a subcommand, add a module here with a click command called `command`, and a line in `COMMANDS`.
"""

from importlib import import_module

import click

from latentgen.errors import LatentgenError

COMMANDS = {
    "audit": "Rank the labels of a data set by suspicion, using a network trained on them.",
    "check": "Check a study file, without running any code that it names.",
    "check-data": "Check a custom data set, and print its block for a study file.",
    "claims": "Write the papers' claims with the numbers for and against them.",
    "compare-figures": "Compare drawn figures with those in an archive, byte for byte.",
    "export": "Pack the tables, settings and figures of a study into one archive.",
    "layers": "List the layers of a network that can be probed, with their widths.",
    "repair": "Improve a network that memorized noisy labels, without retraining.",
    "report": "Write a study's report from its tables and figures.",
    "schema": "Print the JSON schema of study files, or their reference.",
    "status": "Show a study's progress, and why jobs failed.",
    "unpack": "Unpack the archive of a study, so that its figures can be drawn.",
}
"""Subcommands with their help texts, so that `--help` imports none of them."""


class _Lazy(click.Group):
    """Imports a subcommand when it is called; shows a `LatentgenError` as one message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LatentgenError as error:
            raise SystemExit(f"latentgen: {error}") from None


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Completion: eval "$(_LATENTGEN_COMPLETE=bash_source latentgen)" (or zsh_source, fish_source).',
)
@click.version_option(package_name="latentgen")
def main() -> None:
    """Latent generalization in networks that memorize noisy labels.

    Studies are computed by Snakemake: `make figures STUDY=…`. No command imports or calls code
    that a study file names; `audit`, `repair` and `layers` run the network that you name.
    """
