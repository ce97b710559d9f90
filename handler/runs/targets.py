"""Where webhooks may go: to public addresses, by http or https, and nowhere else; and the POST that keeps to it.

A name is looked up once for each request, all its addresses are checked, and the connection is made to one of those
that were checked: a name that changes its address in between changes nothing. Redirects are not followed.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from handler.errors import Invalid
from handler.runs.webhook_config import UrlPolicy

CONNECT_S = 5.0
"""How long a webhook has to take a connection, in seconds."""

ANSWER_S = 15.0
"""How long a webhook has for all of its answer, in seconds."""

INSIDE = ("localhost", "internal", "local", "svc")
"""The last parts of names that are never public."""

TRANSLATED = tuple(ipaddress.IPv6Network(prefix) for prefix in ("64:ff9b::/96", "64:ff9b:1::/48"))
"""IPv6 addresses that stand for IPv4 ones behind a translator."""

PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10")
)
"""The private addresses of a network; those of a machine and of a link are none of them."""

METADATA = tuple(ipaddress.ip_network(network) for network in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"))
"""The addresses of a link, and where clouds hand out credentials: no webhook is there, whoever names it."""

OPEN = UrlPolicy()
"""The policy where langgraph.json says nothing."""

ASSIGNED = ipaddress.IPv4Network("192.0.0.0/24")
"""Set aside for protocols, and by some clouds for their metadata; Python counts part of it as public."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Lookup = Callable[[str, int], Sequence[str]]
"""The addresses of a host; OSError if it has none."""


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook's URL in its parts."""

    tls: bool
    host: str
    port: int
    path: str
    authorization: str | None = None


def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as the system's resolver knows them."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def target_of(url: str) -> Target:
    """A webhook's URL in its parts; Invalid unless it is an absolute http or https URL."""
    if any(character <= " " or character == "\x7f" for character in url):
        raise Invalid("Invalid webhook URL: it has spaces or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("Invalid webhook URL") from None
    if parts.scheme not in ("http", "https"):
        raise Invalid("Invalid webhook URL: it must be absolute, and begin with http:// or https://")
    if not parts.hostname:
        raise Invalid("Invalid webhook hostname ''")
    tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise Invalid("Invalid webhook URL: it has characters that must be percent-encoded")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    return Target(tls, parts.hostname.rstrip("."), port or (443 if tls else 80), path, authorization)


def is_public(address: str, policy: UrlPolicy = OPEN) -> bool:
    """Whether an IP address is one that anybody may reach, or that the policy lets webhooks reach as well."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if is_within(ip, METADATA):
        return False
    if ip.is_loopback:
        return policy.loopback
    if is_within(ip, PRIVATE):
        return policy.private
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.sixtofour is not None or ip.teredo is not None or is_within(ip, TRANSLATED):
            return False
    elif ip in ASSIGNED:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def is_within(ip: Address, networks: Iterable[Network]) -> bool:
    """Whether an address belongs to one of the networks."""
    return any(ip in network for network in networks if network.version == ip.version)


def is_spelled_out(host: str) -> bool:
    """Whether a host is an address, or this machine by its name: what it means is nobody else's to change."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


class Targets:
    """Checks and calls webhooks; `allowed` are hosts whose addresses may be private.

    | the owner has named, in `allowed` or as one of `allowed_domains` | its addresses may be                    |
    |------------------------------------------------------------------|-----------------------------------------|
    | this very address, or `localhost`                                | public, private, of this machine        |
    | this very name                                                   | public, private                         |
    | a domain above it, `*.domain`, or nothing                        | public, and what the policy lets        |
    """

    def __init__(self, allowed: str = "", policy: UrlPolicy = OPEN, lookup: Lookup = look_up) -> None:
        self.policy = policy
        self.allowed = frozenset(host.strip().lower() for host in allowed.split(",") if host.strip())
        self.lookup = lookup

    def check(self, url: str) -> tuple[Target, Sequence[str]]:
        """The URL in its parts, and the addresses of its host; Invalid unless all of them may be called."""
        policy = self.policy
        if len(url) > policy.longest:
            raise Invalid(f"Webhook URL too long: more than {policy.longest} characters")
        target = target_of(url)
        if policy.require_https and not target.tls:
            raise Invalid("Webhook must use https")
        if policy.allowed_ports and target.port not in policy.allowed_ports:
            raise Invalid(f"Webhook port {target.port} not allowed")
        if not policy.allows_host(target.host):
            raise Invalid("Webhook domain not allowed")
        exactly = target.host in self.allowed or target.host in policy.allowed_domains
        if exactly:
            policy = replace(policy, private=True, loopback=policy.loopback or is_spelled_out(target.host))
        inside = target.host.rpartition(".")[2]
        named = exactly or policy.names(target.host) or (inside == "localhost" and policy.loopback)
        if inside in INSIDE and not named:
            raise Invalid("Webhook host blocked: a name inside a network")
        try:
            addresses = self.lookup(target.host, target.port)
        except (OSError, UnicodeError):
            raise Invalid("Webhook host blocked: DNS resolution failed") from None
        if not addresses or not all(is_public(one, policy) for one in addresses):
            raise Invalid("Webhook host blocked: an address that is not public")
        return target, addresses

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """POST to a webhook; the status of its answer. OSError or HTTPException if there is none."""
        target, addresses = self.check(url)
        if target.authorization:
            headers = {**headers, "Authorization": target.authorization}
        connection = Connection(target, addresses)
        # A time for each read does not bound the whole: a webhook could answer byte by byte.
        watch = threading.Timer(ANSWER_S, connection.abort)
        watch.start()
        try:
            connection.request("POST", target.path, body, dict(headers))
            return connection.getresponse().status
        finally:
            watch.cancel()
            connection.close()


class Connection(http.client.HTTPConnection):
    """A connection to one of the addresses that were checked, whatever the host's name means by now."""

    def __init__(self, target: Target, addresses: Sequence[str]) -> None:
        super().__init__(target.host, target.port, timeout=ANSWER_S)
        self.target = target
        self.addresses = addresses
        self.default_port = 443 if target.tls else 80

    def connect(self) -> None:
        """Connect to the first address that takes the connection."""
        failure: OSError | None = None
        for address in self.addresses:
            try:
                plain = socket.create_connection((address, self.target.port), CONNECT_S)
            except OSError as error:
                failure = error
                continue
            plain.settimeout(ANSWER_S)
            self.sock = plain
            if self.target.tls:
                self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.target.host)
            return
        raise failure or OSError("no address")

    def abort(self) -> None:
        """End the connection, whatever is under way on it."""
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended
