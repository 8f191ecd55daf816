from .hints import describe_failure as describe_failure
from .hints import hint_for as hint_for
from .hints import hint_for_refusal as hint_for_refusal
from .pythons import explain_python as explain_python
from .show import built_line as built_line
from .show import shown_steps as shown_steps
from .steps import PULLING as PULLING
from .steps import PUSHING as PUSHING
