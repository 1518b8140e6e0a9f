"""From a configuration to everything that a run needs: data, networks, method and teacher, checked before step one."""
