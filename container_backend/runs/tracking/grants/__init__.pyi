from .folder import ProxyFolder as ProxyFolder
from .folder import listen as listen
from .folder import proxy_folder as proxy_folder
from .folder import store_behind as store_behind
from .grant import Grant as Grant
from .grant import Grants as Grants
from .reached import Reached as Reached
from .reached import way_of as way_of
