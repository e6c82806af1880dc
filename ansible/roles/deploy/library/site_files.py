"""Write the files of a folder at once, readable only by root, and remove all other files from it."""

import os
import shutil
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

FILE_MODE, FOLDER_MODE = 0o600, 0o700

DOCUMENTATION = r"""
module: site_files
short_description: Makes a folder hold exactly these files
description:
  - Files have mode 0600, folders 0700. Files are replaced atomically. All other files are removed.
options:
  path: {description: The folder, type: path, required: true}
  contents: {description: Content of each file by its path below the folder, type: dict, required: true}
author: [The readmission platform's authors]
"""
EXAMPLES = r"""
- name: Write the overlay
  site_files:
    path: /etc/readmission/deploy/site
    contents: {kustomization.yaml: "...", secrets/api.env: "..."}
  no_log: true
"""
RETURN = r"""
files: {description: Paths that were written or removed, type: list, returned: always}
"""


def write(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically, readable only by root."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(name).replace(path)


def as_asked(path: Path, content: bytes) -> bool:
    """Return whether the file exists with this content and only its owner can read it."""
    return path.is_file() and path.stat().st_mode & 0o777 == FILE_MODE and path.read_bytes() == content


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "contents": {"type": "dict", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    root = Path(module.params["path"])
    contents = {root / name: text.encode() for name, text in module.params["contents"].items()}
    folders = {parent for path in contents for parent in path.parents if parent.is_relative_to(root)}
    strangers = [path for path in sorted(root.rglob("*")) if path not in contents and path not in folders]
    stale = [path for path, content in contents.items() if not as_asked(path, content)]
    open_folders = [
        path for path in folders if not path.is_dir() or path.stat().st_mode & 0o777 != FOLDER_MODE
    ]
    if not module.check_mode:
        for path in strangers:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for path in sorted(open_folders):
            path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            path.chmod(FOLDER_MODE)
        for path in stale:
            write(path, contents[path])
    changed = sorted(str(path.relative_to(root)) for path in strangers + stale)
    module.exit_json(changed=bool(changed or open_folders), files=changed)


if __name__ == "__main__":
    main()
