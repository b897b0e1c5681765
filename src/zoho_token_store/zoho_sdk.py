"""The names that this package takes from the Zoho CRM SDK, imported in one place.

The SDK's distributions (``zohocrmsdk5-0`` to ``zohocrmsdk8-0``) install the same top-level package and overwrite each
other without a word, so none of them is a dependency: the one that the application uses is found here, or its absence
is reported with the extra that installs it.
"""

from __future__ import annotations

try:
    from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
    from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
    from zohocrmsdk.src.com.zoho.crm.api.exception.sdk_exception import SDKException
    from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
    from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature
    from zohocrmsdk.src.com.zoho.crm.api.util.utility import Utility
except ImportError as error:
    raise ImportError(
        "zoho_token_store needs the Zoho CRM SDK 5.0 to 8.0, and none could be imported. Install the one that your"
        " application uses by its extra: pip install 'zoho-token-store[sdk8]' (or sdk7, sdk6, sdk5). The older"
        " 'zcrmsdk' and zohocrmsdk2 releases have another store interface and are not supported."
    ) from error

__all__ = ["DataCenter", "Initializer", "OAuthToken", "SDKException", "TokenStore", "UserSignature", "Utility"]
