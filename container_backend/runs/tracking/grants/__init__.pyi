from .folder import ProxyFolder as ProxyFolder
from .folder import proxy_folder as proxy_folder
from .grant import Grant as Grant
from .grant import Grants as Grants
