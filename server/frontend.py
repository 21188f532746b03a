"""The pages: frontend/dist at /, the API's own description at /docs."""

from __future__ import annotations

import html
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response

from qc.errors import NotFound
from server import access

DIST = Path(__file__).parent.parent / "frontend" / "dist"

_UNBUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>qc-line</title>
<body><h1>The server runs; its pages are not built yet</h1>
<p>Build them with <code>make setup</code>, or <code>npm ci &amp;&amp; npm run build</code> in <code>frontend/</code>.
The API works without them: <a href="/docs">its description</a>, <a href="/api/v1/health">its health</a>.</p>
</body></html>"""


def install(app: FastAPI, dist: Path = DIST) -> None:
    """Serve the single page app: a file where there is one, else index.html, whose router knows the path."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return HTMLResponse(describe(app.openapi()))

    @app.get("/{path:path}", include_in_schema=False)
    def page(path: str) -> Response:
        if path.startswith("api/") or access.is_protocol(f"/{path}"):
            raise NotFound(f"there is nothing at /{path}")
        if file := _file_at(dist, path):
            forever = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
            return FileResponse(file, headers={"Cache-Control": forever})
        if "." in path.rsplit("/", 1)[-1]:
            raise NotFound(f"there is nothing at /{path}")
        index = dist / "index.html"
        if index.is_file():
            return FileResponse(index, headers={"Cache-Control": "no-cache"})
        return HTMLResponse(_UNBUILT)


def _file_at(dist: Path, path: str) -> Path | None:
    """The file of that address, which never leaves the folder; None: there is none."""
    try:
        file = (dist / path).resolve()
        return file if file.is_relative_to(dist.resolve()) and file.is_file() else None
    except (OSError, ValueError):  # longer than a file's name may be, or with a byte that none may have
        return None


def describe(openapi: dict) -> str:  # type: ignore[type-arg]
    """The API as one page that needs neither scripts nor a network: calls, parameters, bodies, answers."""
    rows = []
    for path, calls in sorted(openapi.get("paths", {}).items()):
        for method, call in calls.items():
            names = ", ".join(
                f"{p['name']}{'' if p.get('required') else '?'} ({p['in']})" for p in call.get("parameters", [])
            )
            body = ", ".join(call.get("requestBody", {}).get("content", {}))
            answers = ", ".join(call.get("responses", {}))
            about = call.get("description") or call.get("summary") or ""
            rows.append(
                f"<tr><td><code>{method.upper()} {html.escape(path)}</code></td><td>{html.escape(about)}</td>"
                f"<td>{html.escape(names)}</td><td>{html.escape(body)}</td><td>{html.escape(answers)}</td></tr>"
            )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>qc-line: the API</title>'
        "<style>body{font:15px system-ui;margin:2rem}td,th{border-bottom:1px solid #ccc;padding:.4rem;"
        "text-align:left;vertical-align:top}</style><body><h1>The API</h1>"
        "<p>Send a key as <code>Authorization: Bearer &lt;key&gt;</code>. Errors are "
        "<code>{&quot;error&quot;: {&quot;code&quot;, &quot;message&quot;, &quot;details&quot;}}</code>. "
        'Every schema: <a href="/openapi.json">openapi.json</a>.</p>'
        "<table><tr><th>call</th><th>what it does</th><th>parameters</th><th>body</th><th>answers</th></tr>"
        + "".join(rows)
        + "</table></body></html>"
    )
