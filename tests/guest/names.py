"""Names and numbers, as the manual traceleft.fields(7) gives them; from the C library, not from the daemon."""

import errno
import os
import shlex

# What open(2) has and os has not.
O_TMPFILE_BIT = 0o20000000
O_LARGEFILE = 0o100000
FLAGS = {
    name: getattr(os, name)
    for name in (
        "O_RDONLY", "O_WRONLY", "O_RDWR", "O_CREAT", "O_EXCL", "O_NOCTTY", "O_TRUNC", "O_APPEND", "O_NONBLOCK", "O_DSYNC",
        "O_SYNC", "O_ASYNC", "O_DIRECT", "O_DIRECTORY", "O_NOFOLLOW", "O_NOATIME", "O_CLOEXEC", "O_PATH", "O_TMPFILE",
    )
} | {"O_LARGEFILE": O_LARGEFILE}  # fmt: skip


def flags_number(text):
    """O_RDWR|O_CLOEXEC as a number."""
    number = 0
    for word in text.decode().split("|"):
        number |= FLAGS[word] if word in FLAGS else int(word, 16)
    return number


def errno_name(result):
    return errno.errorcode[-result].encode()


def split_arguments(text):
    """The arguments that were joined in the manner of shells."""
    return [word.encode("latin-1") for word in shlex.split(text.decode("latin-1"))]
