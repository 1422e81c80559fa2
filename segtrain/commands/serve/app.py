"""HTTP application: the addresses of the server, and its answers where something is wrong."""

from importlib.resources import files
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segtrain.commands.serve.service import Service
from segtrain.errors import is_out_of_files

_OWN = "segtrain.commands.serve.page"
PAGE = {  # package, file, media type
    "/": (_OWN, "page.html", "text/html"),
    "/page.css": ("segtrain", "page.css", "text/css"),
    "/serve.css": (_OWN, "serve.css", "text/css"),
    "/page.js": (_OWN, "page.js", "text/javascript"),
}
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

# Of all answers. The page runs and shows nothing but what comes from here.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def build_app(service: Service, *, address: str | None) -> ASGIApp:
    """The server as an ASGI application. With the `address` that it listens on, it refuses requests under any name but
    that and LOCAL_NAMES."""
    app = Starlette(
        routes=[
            *(Route(path, _page) for path in PAGE),
            Route("/health", service.health),
            Route("/model", service.model),
            Route("/predict", service.predict, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refuse, Exception: _fail},
    )
    return Guard(app, names=None if address is None else LOCAL_NAMES | {address})


class Guard:
    """Refuses what other pages may make a browser send, and adds HEADERS to every answer.

    Args:
        names: what the server may be called in Host; None for anything. A page elsewhere can give its own name the
            address of this machine and would then be allowed to read the answers (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, *, names: frozenset[str] | None):
        self.app = app
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or pass it on."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        answer = self.app if refusal is None else JSONResponse({"error": refusal}, 403)
        await answer(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if self.names is not None and _host_name(host) not in self.names:
            return f"this server does not respond to the name '{host[:80]}'; use 127.0.0.1 or localhost"
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return f"pages of {origin[:80]} may not use this server"
        return None


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # brackets of IPv6 that do not close
        return None


async def _page(request: Request) -> Response:
    package, name, media_type = PAGE[request.url.path]
    return Response((files(package) / name).read_bytes(), media_type=media_type)


async def _refuse(request: Request, error: HTTPException) -> Response:
    text = error.detail
    if error.status_code == 404:
        text = f"there is nothing at {request.url.path[:80]}; available are GET /, /health, /model and POST /predict"
    elif error.status_code == 405:
        allowed = " or ".join(sorted(error.headers["Allow"].split(", ")))
        text = f"{request.method} is not allowed for {request.url.path}; use {allowed}"
    return JSONResponse({"error": text}, error.status_code, headers=error.headers)


async def _fail(_: Request, error: Exception) -> Response:
    if is_out_of_files(error):
        return JSONResponse({"error": "the server has too many files open; send the image again later"}, 503)
    return JSONResponse({"error": "the prediction failed; see the server's output for the reason"}, 500)
