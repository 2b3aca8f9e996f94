"""Run a command beside a PostgreSQL of its own: python postgres.py python demo.py.

Debian's package is installed if there is none. Data are in a temporary folder, the port is a free one of the loopback,
and both are gone afterwards. The command finds the database's address in the variable DATABASE.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IS_ROOT = os.geteuid() == 0
OWNER = "postgres" if IS_ROOT else None  # PostgreSQL refuses to run as root
AS_ROOT = () if IS_ROOT else ("sudo", "-n")


def run(*words: str | Path, user: str | None = None) -> None:
    """Run a command; what it says is shown if it fails."""
    if shutil.which(words[0]) is None:
        raise SystemExit(f"{words[0]} is needed, and not on the PATH {os.environ['PATH']}.")
    as_user: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
    done = subprocess.run(words, cwd="/", capture_output=True, text=True, check=False, **as_user)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} failed:\n{done.stdout}{done.stderr}")


def programs() -> Path | None:
    """The folder of initdb and pg_ctl; Debian has one for each version, of which the newest is taken."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, default=None, key=lambda initdb: float(initdb.parts[-3]))
    found = newest or shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def install() -> Path:
    """Install PostgreSQL from Debian or Ubuntu, or say aloud that there is none."""
    if shutil.which("apt-get") is None:
        raise SystemExit("There is no PostgreSQL, and no apt-get to install it: put initdb on the PATH.")
    print("There is no PostgreSQL: installing Debian's, with apt-get.", file=sys.stderr)
    run(*AS_ROOT, "apt-get", "update")
    run(*AS_ROOT, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "postgresql")
    return programs() or sys.exit("apt-get has installed postgresql, but there is no initdb.")


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a PostgreSQL, yield its address, stop and remove it."""
    folder = programs() or install()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        data, password = Path(place, "data"), Path(place, "password")
        password.write_text(secrets.token_hex())
        if IS_ROOT:
            shutil.chown(place, "postgres")
            shutil.chown(password, "postgres")
        initdb = ("--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C")
        run(folder / "initdb", "-D", data, "-U", "postgres", *initdb, user=OWNER)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        control = (folder / "pg_ctl", "-D", data, "-w")
        run(*control, "-l", Path(place, "log"), "-o", options, "start", user=OWNER)
        try:
            yield f"postgresql://postgres:{password.read_text()}@127.0.0.1:{port}/postgres"
        finally:
            run(*control, "-m", "fast", "stop", user=OWNER)


if __name__ == "__main__":
    with postgresql() as database:
        done = subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE": database}, check=False)
    sys.exit(done.returncode)
