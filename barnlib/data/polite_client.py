"""ObsPy's FDSN client, made polite and given a memory.

In:  the name of a data centre that ObsPy knows, or its address, and a folder for answers.
Out: an ObsPy ``Client``: ``get_events``, ``get_stations`` and ``get_waveforms`` as always. Next:
     :mod:`barnlib.data.fdsn` builds a dataset with it.

- One request at a time, with a pause after each answer. Nothing else is asked than what the caller asks for: the
  client's own discovery of services, several requests at once, is switched off, and the standard's parameters are used.
- A data centre that is busy (429, 503), fails (other 5xx) or cannot be reached is asked again after the time that
  its ``Retry-After`` names, or else after a time that doubles; after `ATTEMPTS` the run stops, with what it has.
- Each final answer, "no data" and "not allowed" included, is kept on disk as it came, under the digest of its request,
  and the same request is answered from there. So a run that was ended in any way goes on where it stopped.

Only open data can be asked for: no name and no password is ever sent. Redirections are followed, to http and https.
"""

import gzip
import hashlib
import io
import logging
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import obspy
from obspy.clients.fdsn import Client
from obspy.clients.fdsn.client import raise_on_error

from barnlib.artefacts import digest, file_digest, read_json, write_json

ATTEMPTS = 5
FIRST_WAIT_S = 5.0  # doubled from attempt to attempt: 5, 10, 20, 40 s
LONGEST_WAIT_S = 600.0  # a data centre that asks for more is left alone
LONGEST_ANSWER = 512 * 2**20  # bytes
TIMEOUT_S = 120.0
SAME_AS = {404: 204, 414: 413}  # no data; too much asked for. Of each two, ObsPy has a word for the second
TRY_AGAIN = (408, 429)  # and every 5xx but 501


class DataCentreUnavailable(ConnectionError):
    """A data centre gave no final answer; what was fetched is kept."""


@dataclass(frozen=True)
class Answer:
    """A final answer: its HTTP status and its body as it was sent, unpacked."""

    status: int
    body: bytes


class PoliteClient(Client):
    """See the module. `asked` counts the requests that went out; `used` has the SHA-256 of each answer by request."""

    def __init__(
        self,
        data_centre: str,
        answers: Path,
        *,
        pause_s: float,
        contact: str = "",
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
            data_centre: a name that ObsPy knows ("USGS", "EARTHSCOPE") or an address.
            answers: the folder that keeps them; made where it does not exist.
            pause_s: seconds between the end of one request and the start of the next.
            contact: sent within the user agent, so that the data centre can write to who asks.

        Raises:
            ValueError: no such data centre.
        """
        try:
            super().__init__(
                data_centre, user_agent=user_agent(contact), timeout=TIMEOUT_S, _discover_services=False
            )
        except ValueError as problem:  # ObsPy's, of a name that it does not know
            raise ValueError(f"no data centre '{data_centre}': {problem}") from problem
        self.asked = 0
        self.used: dict[str, str] = {}
        self._answers, self._pause_s, self._sleep, self._clock = answers, pause_s, sleep, clock
        self._free_at = clock()
        answers.mkdir(parents=True, exist_ok=True)

    def _download(self, url, return_string=False, data=None, use_gzip=None, content_type=None):
        """What every method of ObsPy's client calls to ask; raises ObsPy's own exceptions for what is not 200."""
        if data is not None:
            raise ValueError(f"{url}: a request with a body; expected one that its address describes wholly")
        answer = self._kept(url)
        if answer is None:
            answer = self._ask(url, use_gzip=self.use_gzip if use_gzip is None else use_gzip)
            self._keep(url, answer)
        self.used[url] = hashlib.sha256(answer.body).hexdigest()
        raise_on_error(answer.status, io.BytesIO(answer.body))
        return answer.body if return_string else io.BytesIO(answer.body)

    def _ask(self, url: str, *, use_gzip: bool) -> Answer:
        """Ask until there is a final answer.

        Raises:
            DataCentreUnavailable: there is none after `ATTEMPTS`, or the data centre asks for a longer wait.
        """
        wait_s, seen = FIRST_WAIT_S, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                logging.warning("the data centre %s; asked again in %.0f s", seen, wait_s)
                self._sleep(wait_s)
            answer, asked_to_wait_s, seen = self._once(url, use_gzip)
            if answer is not None:
                return answer
            wait_s = FIRST_WAIT_S * 2**attempt
            if asked_to_wait_s is not None:
                wait_s = max(asked_to_wait_s, self._pause_s)
            if wait_s > LONGEST_WAIT_S:
                seen += f" and asks to wait {wait_s:.0f} s"
                break
        raise DataCentreUnavailable(
            f"{url}: the data centre {seen}; what it has sent so far is kept in {self._answers}: run the same command "
            "again later, and it goes on from there"
        )

    def _once(self, url: str, use_gzip: bool) -> tuple[Answer | None, float | None, str]:
        """One request: its answer if that is final, the seconds that it asks to wait, and what was seen."""
        self._sleep(max(0.0, self._free_at - self._clock()))
        self.asked += 1
        headers = self.request_headers | ({"Accept-Encoding": "gzip"} if use_gzip else {})
        try:
            with self._url_opener.open(Request(url, headers=headers), timeout=self.timeout) as response:
                return Answer(response.status, _body(response)), None, ""
        except HTTPError as error:
            with error:
                status = SAME_AS.get(error.code, error.code)
                if status not in TRY_AGAIN and (status < 500 or status == 501):
                    return Answer(status, error.read(2**16)), None, ""
                return None, _retry_after_s(error.headers), f"answers {error.code} ({error.reason})"
        except (OSError, HTTPException, EOFError, zlib.error) as error:  # not reached, or cut off on the way
            return None, None, f"cannot be reached ({type(error).__name__}: {error})"
        finally:
            self._free_at = self._clock() + self._pause_s

    def _kept(self, url: str) -> Answer | None:
        body, about = self._paths(url)
        if not about.is_file():
            return None
        known = read_json(about)
        if not body.is_file() or file_digest(body) != known["sha256"]:
            raise ValueError(
                f"{body}: this answer was changed or damaged after it came; delete {about}, and it is asked for again"
            )
        return Answer(known["status"], body.read_bytes())

    def _keep(self, url: str, answer: Answer) -> None:
        """The body first, its description last, each renamed into place: what is described is whole."""
        body, about = self._paths(url)
        partial = body.with_name(body.name + ".partial")
        partial.write_bytes(answer.body)
        os.replace(partial, body)
        write_json(
            about,
            {
                "request": url,
                "status": answer.status,
                "bytes": len(answer.body),
                "sha256": hashlib.sha256(answer.body).hexdigest(),
                "asked": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )

    def _paths(self, url: str) -> tuple[Path, Path]:
        name = digest({"request": url})
        return self._answers / f"{name}.answer", self._answers / f"{name}.json"


def user_agent(contact: str) -> str:
    """What a data centre reads about who asks.

    Raises:
        ValueError: a contact that is not one line of printable ASCII, which a header cannot carry.
    """
    if not (contact.isascii() and (contact.isprintable() or not contact)):
        raise ValueError(
            f"contact {contact!r}: expected one line of plain characters, such as an e-mail address"
        )
    about = "; ".join(part for part in (contact, f"ObsPy {obspy.__version__}") if part)
    return f"barnlib/{_version()} (language backbones of vision-language models; {about})"


def _version() -> str:
    try:
        return version("barnlib")
    except ModuleNotFoundError:  # run from a checkout that was not installed
        return "source"


def _body(response) -> bytes:
    """The body, unpacked. ValueError where it is larger than `LONGEST_ANSWER`."""
    packed = response.headers.get("Content-Encoding") == "gzip"
    stream = gzip.GzipFile(fileobj=response) if packed else response
    body: bytes = stream.read(LONGEST_ANSWER + 1)
    if len(body) > LONGEST_ANSWER:
        raise ValueError(
            f"{response.url}: the answer is larger than {LONGEST_ANSWER / 2**20:.0f} MiB; ask for a shorter span, "
            "fewer stations or larger magnitudes"
        )
    length = response.headers.get("Content-Length")
    if not packed and length is not None and len(body) < int(length):
        # read(n), unlike read(), says nothing of a connection that was closed too early
        raise EOFError(f"{len(body)} of {length} bytes came")
    return body


def _retry_after_s(headers: Message) -> float | None:
    """Seconds that the header Retry-After asks for, which gives seconds or a date; None without it."""
    stated = (headers.get("Retry-After") or "").strip()
    if stated.isdigit():
        return float(stated)
    try:
        at = parsedate_to_datetime(stated)
    except (ValueError, TypeError):
        return None
    at = at.replace(tzinfo=at.tzinfo or UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
