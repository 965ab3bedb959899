"""What a job does first, before it imports anything large."""

import gc


def fast_imports() -> None:
    """Let this process import large libraries without looking for garbage again and again.

    torch makes 276,000 objects when it is imported, none of them garbage. Python looks through them for every
    700 new ones, which takes about a sixth of the import. This changes a setting of the whole process, so
    jobs call it, and ``import latentgen`` does not.
    """
    gc.set_threshold(500_000, *gc.get_threshold()[1:])
