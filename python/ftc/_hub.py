"""The Hugging Face Hub, by its package huggingface_hub where that is installed: ftc itself never talks to a network."""

from __future__ import annotations

import os
from typing import Any


def push(args: Any, *, message: str | None, blocking: bool, token: Any, revision: str | None) -> Any:
    """Uploads args.output_dir, but its checkpoints, into the repository args.hub_model_id, which is made where there is none:
    as transformers does. Returns what huggingface_hub's upload_folder returns."""
    directory = os.path.abspath(args.output_dir)
    try:
        import huggingface_hub
    except ImportError as error:
        error.add_note(f"push_to_hub needs the package huggingface_hub; the model is saved in {directory}")
        raise
    try:
        name, token = args.hub_model_id or os.path.basename(directory), token or args.hub_token
        made = huggingface_hub.create_repo(name, token=token, private=args.hub_private_repo, exist_ok=True)
        return huggingface_hub.upload_folder(
            repo_id=made.repo_id,
            folder_path=directory,
            commit_message=message,
            token=token,
            run_as_future=not blocking,
            ignore_patterns=["_*", "checkpoint-*"],
            revision=revision or args.hub_revision,
        )
    except Exception as error:
        error.add_note(f"the model is saved in {directory}, but not pushed: `hf upload {name} {directory}` does that later")
        raise
