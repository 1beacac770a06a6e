"""IAM: service accounts, their policies and their keys, custom roles.

Sources: IAM API reference v1 and the guides named in the modules.
"""

from sandbox.google.iam import keys, roles
from sandbox.google.iam.accounts import prepare, require_account
from sandbox.google.iam.api import api

__all__ = ["api", "keys", "prepare", "require_account", "roles"]
