"""Uploads to Hugging Face: HF_TOKEN or `hf auth login` says who, HF_ENDPOINT names another hub of its protocol."""

import os
from pathlib import Path

from roadmap.io.errors import CommandError, Unavailable, UsageError


def upload(folder: Path, name: str, message: str, private: bool) -> str:
    """One commit with the whole folder; files of an earlier one that are no longer there are removed. -> its address

    Args:
        name: owner/name; the repository is created if there is none.

    Raises:
        UsageError: no token, or none that may write there.
        Unavailable: the hub does not answer.
    """
    from huggingface_hub import HfApi, errors

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(repo_id=name, folder_path=folder, commit_message=message, delete_patterns="*")
    except errors.LocalTokenNotFoundError:
        raise UsageError(f"hf://{name}: found no token; set HF_TOKEN, or run `hf auth login`") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise UsageError(f"hf://{name}: {status}: the token may not write there; check HF_TOKEN") from None
        raise CommandError(f"hf://{name}: {str(error).splitlines()[0]}") from None
    except OSError as error:  # of the connection
        raise Unavailable(f"hf://{name}: no response ({str(error).splitlines()[0]}); try again") from None
    return str(done.commit_url)
