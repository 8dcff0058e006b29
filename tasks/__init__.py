"""What cells do, one file a kind of work. Free of torch: a task imports what does the work when it runs.

Tasks may also lie in a folder `tasks` elsewhere on Python's path.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
