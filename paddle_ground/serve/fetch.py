"""Images from other machines, without letting a client reach through us into our own network.

Takes URLs and the hosts that are allowed; gives bytes. A host's name is resolved once, every address that it
has must be a public one, and the connection goes to the very address that was checked: a name that
changes its address in between (DNS rebinding) changes nothing. A redirect is a new URL, checked anew. Proxies
of the environment are not used, since they would resolve names by themselves.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

from paddle_ground.serve.options import MEGABYTE
from paddle_ground.serve.refusals import BadRequestError, ForbiddenError, TooLargeError

_MAX_HOPS = 4
_PORTS = {"http": 80, "https": 443}
# Addresses that carry another one inside, which a gateway may unpack.
_WRAPPERS = tuple(
    ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)

Resolve = Callable[[str, int], Awaitable[list[str]]]


def is_public(address: str) -> bool:
    """Tell whether an address is one of the internet: not private, loopback, link-local or reserved."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if any(ip in net for net in _WRAPPERS):
            return False
    special = (
        ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_reserved
        or ip.is_unspecified
    )  # fmt: skip
    return ip.is_global and not special


async def resolve(host: str, port: int) -> list[str]:
    """Give the addresses of a host."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Fetcher:
    """Fetches images from allowed hosts.

    Args:
        hosts: "example.org", "*.example.org" (not example.org itself), or with a port "example.org:8080".
        max_bytes: Of an image.
        seconds: For all of it.
        resolve: Gives the addresses of a host.
        may_connect: Tells whether an address may be connected to.
    """

    def __init__(
        self,
        hosts: tuple[str, ...],
        max_bytes: int,
        seconds: float = 20.0,
        resolve: Resolve = resolve,
        may_connect: Callable[[str], bool] = is_public,
    ) -> None:
        self._hosts = tuple(host.strip().lower() for host in hosts)
        self._max_bytes, self._seconds = max_bytes, seconds
        self._resolve, self._may_connect = resolve, may_connect

    async def fetch(self, url: str, number: int) -> bytes:
        """Fetch one image.

        Args:
            url: With http or https.
            number: Of the image in its request, for messages.

        Raises:
            ForbiddenError: The host, its address or its port is not allowed.
            TooLargeError: The image is.
            BadRequestError: The host doesn't give it.
        """
        import httpx

        try:
            return await asyncio.wait_for(self._follow(url, number), self._seconds)
        except asyncio.TimeoutError as error:
            raise BadRequestError(f"image {number}: its host took too long") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, ValueError) as error:
            raise BadRequestError(f"image {number}: its host could not be asked for it") from error

    async def _follow(self, url: str, number: int) -> bytes:
        import httpx

        async with httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=self._seconds
        ) as client:
            for _ in range(_MAX_HOPS):
                found = await self._ask(client, url, number)
                if isinstance(found, bytes):
                    return found
                url = urljoin(url, found)
        raise BadRequestError(f"image {number}: its host sent us on more than {_MAX_HOPS - 1} times")

    async def _ask(self, client: Any, url: str, number: int) -> bytes | str:
        """Give the image, or the place where it is said to be."""
        import httpx

        host, port = self._place(url, number)
        address = await self._address(host, port, number)
        pinned = httpx.URL(url).copy_with(host=address, port=port)
        default = port == _PORTS[pinned.scheme]
        shown = f"[{host}]" if ":" in host else host
        request = client.build_request(
            "GET",
            pinned,
            headers={
                "Host": shown if default else f"{shown}:{port}",
                "Accept": "image/*",
                "Accept-Encoding": "identity",
            },
            # The certificate must be the host's, whatever the address is.
            extensions={"sni_hostname": host},
        )
        response = await client.send(request, stream=True)
        try:
            if response.has_redirect_location:
                return str(response.headers["location"])
            if (
                response.status_code != 200
                or response.headers.get("content-encoding", "identity") != "identity"
            ):
                raise BadRequestError(f"image {number}: its host answered {response.status_code}")
            return await self._read(response, number)
        finally:
            await response.aclose()

    def _place(self, url: str, number: int) -> tuple[str, int]:
        """Give an allowed URL's host and port."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").lower()
        if parts.scheme not in _PORTS or not host or parts.username is not None or parts.password is not None:
            raise ForbiddenError(f"image {number}: only plain http and https URLs are fetched")
        port = parts.port or _PORTS[parts.scheme]
        names = {f"{host}:{port}"} | ({host} if port == _PORTS[parts.scheme] else set())
        domains = {f"*.{name.split('.', at)[-1]}" for name in names for at in range(1, name.count(".") + 1)}
        if not (names | domains) & set(self._hosts):
            raise ForbiddenError(f"image {number}: this server fetches no images from that host")
        return host, port

    async def _address(self, host: str, port: int, number: int) -> str:
        addresses = await self._resolve(host, port)
        if not addresses or not all(self._may_connect(address) for address in addresses):
            raise ForbiddenError(f"image {number}: this server fetches no images from that host")
        return addresses[0]

    async def _read(self, response: Any, number: int) -> bytes:
        found = bytearray()
        async for chunk in response.aiter_raw():
            found += chunk
            if len(found) > self._max_bytes:
                raise TooLargeError(
                    f"image {number} has more than {self._max_bytes / MEGABYTE:g} MB; send it smaller"
                )
        return bytes(found)
