"""The files from which a site's overlay generates its Secrets."""

from collections.abc import Callable, Mapping


def secret_file_contents(
    one_line: Mapping[str, Mapping[str, str]], files: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Return the content of each file by its path.

    `one_line` and `files` contain the keys of each Secret. The keys in `one_line` become one
    `secrets/SECRET.env` of KEY=value lines, without empty values; each key in `files` becomes a file
    `secrets/SECRET/KEY`.
    """
    contents = {
        f"secrets/{secret}.env": "".join(f"{key}={value}\n" for key, value in keys.items() if value)
        for secret, keys in one_line.items()
    }
    return contents | {
        f"secrets/{secret}/{key}": value for secret, keys in files.items() for key, value in keys.items()
    }


class FilterModule:
    """The filters of this file, as Ansible expects them."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return the filters by name."""
        return {"secret_file_contents": secret_file_contents}
