"""JupyterLab on one machine and on server 1: the login, and what a saved notebook may contain."""

import os
from typing import Any

c = get_config()  # type: ignore[name-defined] # noqa: F821 - Jupyter gives it to this file

# With a hash (from `jupyter server password`), JupyterLab asks for the password; without one, Jupyter
# generates a token at each start and prints it.
if password_hash := os.environ.get("JUPYTER_PASSWORD_HASH"):
    c.PasswordIdentityProvider.hashed_password = password_hash
    c.PasswordIdentityProvider.password_required = True
    c.PasswordIdentityProvider.allow_password_change = False


def drop_outputs(model: dict[str, Any], **_: object) -> None:
    """Remove the outputs of a notebook before it is written: they contain patients' values."""
    if model["type"] != "notebook" or not model.get("content"):
        return
    for cell in model["content"]["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None


c.ContentsManager.pre_save_hook = drop_outputs
# Notebooks are pairs: saving one half writes the other (jupytext.toml).
c.ServerApp.contents_manager_class = "jupytext.TextFileContentsManager"
