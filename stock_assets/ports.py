"""Whether a server of ours could listen on an address."""

import socket


def port_problem(host: str, port: int) -> str | None:
    """Why nothing can listen on `host:port` and what to do, in one line; None where it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return f"cannot listen on {host} port {port}: {error.strerror}; stop what does, or set another host or port"
    return None
