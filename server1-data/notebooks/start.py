"""Open JupyterLab on this machine: `make notebooks`.

The notebooks use the databases of the newest demo in `.demo/`, or their own folder if no demo ran.
Environment variables (`READMISSION_RAW_URL` and so on) take precedence. MLflow is started too, because a
demo's artifacts can only be reached through a server.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DEMO = ROOT / ".demo"
START_SECONDS = 300


def main() -> int:
    """Run JupyterLab until it ends; return its exit code."""
    state = newest_state()
    state.mkdir(parents=True, exist_ok=True)
    settings = settings_for(state)
    sys.stdout.write(f"notebooks: databases in {state}\n")
    tracking = None
    try:
        if "READMISSION_TRACKING_URI" not in os.environ:
            tracking, settings["READMISSION_TRACKING_URI"] = start_mlflow(state)
            sys.stdout.write(f"notebooks: MLflow answers at {settings['READMISSION_TRACKING_URI']}\n")
        sys.stdout.flush()
        command = [
            *(Path(sys.executable).parent / "jupyter-lab", f"--config={HERE / 'jupyter_server_config.py'}"),
            *("--ip=127.0.0.1", f"--notebook-dir={HERE}", *sys.argv[1:]),
            # Jupyter refuses to run as root by default; here it listens on loopback only.
            *(["--allow-root"] if os.geteuid() == 0 else []),
        ]
        return subprocess.run(command, env=settings | os.environ, cwd=HERE, check=False).returncode
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        sys.stderr.write(f"notebooks: {error}\n")
        return 1
    finally:
        if tracking:
            tracking.terminate()
            tracking.wait()


def newest_state() -> Path:
    """Return the folder of the most recent demo, or the notebooks' own folder."""
    databases = sorted(DEMO.glob("*-*/raw.db"), key=lambda path: path.stat().st_mtime)
    return databases[-1].parent if databases else DEMO / "notebooks"


def settings_for(state: Path) -> dict[str, str]:
    """Return the settings for a folder's databases."""
    return {
        "READMISSION_RAW_URL": f"sqlite:///{state / 'raw.db'}",
        "READMISSION_CLEAN_URL": f"sqlite:///{state / 'clean.db'}",
        "READMISSION_PREDICTION_LOG_URL": f"sqlite:///{state / 'predictions.db'}",
        "READMISSION_STAGING_DIR": str(state / "staging"),
        "READMISSION_CACHE_DIR": str(ROOT / ".cache"),
        "READMISSION_ALLOW_SYNTHETIC": "true",
        "OMP_NUM_THREADS": "1",
    }


def start_mlflow(state: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start MLflow on a folder's metadata and artifacts; return the process and its address.

    Raise `OSError` if it does not respond.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = state / "notebooks-mlflow.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                *(ROOT / ".venvs" / "tracking" / "bin" / "mlflow", "server", "--workers", "1"),
                *("--host", "127.0.0.1", "--port", str(port)),
                *("--backend-store-uri", f"sqlite:///{state / 'mlflow.db'}"),
                *("--artifacts-destination", state / "artifacts"),
            ],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "GIT_PYTHON_REFRESH": "quiet"},
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.3)
        else:
            return process, url
    process.kill()
    raise OSError(f"MLflow does not start: see {log}")


if __name__ == "__main__":
    sys.exit(main())
