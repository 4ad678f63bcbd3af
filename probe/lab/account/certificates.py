"""Owns the certificates of a lab that speaks https: its own CA, a good certificate and the bad ones.

They are made anew for each lab and live in a temporary folder; nothing is ever installed on the machine.
"""

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, assert_never

from probe.lab.account.faults import TlsMode
from probe.lab.errors import LabError

if TYPE_CHECKING:
    import trustme

HOSTS = ("127.0.0.1", "localhost", "*.lab.invalid")


class Certificates:
    """As a context manager: `ca`, `certificate` and `private_key` are PEM files while it lasts."""

    def __init__(self) -> None:
        try:
            import trustme  # noqa: PLC0415 (a lab over plain http does without)
        except ImportError:
            raise LabError(
                "a lab over https needs the package trustme: install tests/requirements.txt"
            ) from None
        self._folder = tempfile.TemporaryDirectory(prefix="lab-certificates-")
        folder = Path(self._folder.name)
        self.ca, self.certificate, self.private_key = (
            folder / "ca.pem",
            folder / "cert.pem",
            folder / "key.pem",
        )
        self._authority = trustme.CA()
        self._stranger = trustme.CA()
        self._authority.cert_pem.write_to_path(self.ca)
        self._good = self._authority.issue_cert(*HOSTS)
        self._good.private_key_pem.write_to_path(self.private_key)
        for pem in self._good.cert_chain_pems:
            pem.write_to_path(self.certificate, append=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def client(self) -> ssl.SSLContext:
        """Return a context that trusts this lab and nothing else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        return context

    def server(self, mode: TlsMode | None = None) -> ssl.SSLContext | None:
        """Return a server's context: a good one, or one that fails as `mode` says (plain: no TLS at all)."""
        certificate = self._for(mode)
        if certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context

    def _for(self, mode: TlsMode | None) -> "trustme.LeafCert | None":
        match mode:
            case None:
                return self._good
            case TlsMode.UNTRUSTED:
                return self._stranger.issue_cert(*HOSTS)
            case TlsMode.EXPIRED:
                past = datetime(2020, 1, 2, tzinfo=UTC)
                return self._authority.issue_cert(*HOSTS, not_before=past - timedelta(days=1), not_after=past)
            case TlsMode.WRONG_HOST:
                return self._authority.issue_cert("another.invalid")
            case TlsMode.PLAIN:
                return None
            case _:
                assert_never(mode)
