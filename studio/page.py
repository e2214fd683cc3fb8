"""The page: its tabs, and how it is served on this machine alone."""

from collections.abc import Callable
from pathlib import Path

import gradio as gr

from studio import html_parts as html
from studio.context import Studio
from studio.data_tab import build_data
from studio.doubtful_tab import build_doubtful
from studio.runs_tab import build_runs
from studio.try_tab import build_try

ADDRESS = "127.0.0.1"

_STYLE = Path(__file__).with_name("page.css")


def _build_mistakes(studio: Studio, page: gr.Blocks) -> None:
    if studio.pipeline is None:
        gr.HTML(html.note(studio.say("no_model")))
        return
    # it imports torch, which a page without a model does not wait for
    from studio.mistakes_tab import build_mistakes

    build_mistakes(studio, studio.pipeline, page)


# key of the tab's title in studio/texts.py, and the function that adds its widgets
TABS: tuple[tuple[str, Callable[[Studio, gr.Blocks], None]], ...] = (
    ("tab_try", build_try),
    ("tab_data", build_data),
    ("tab_doubtful", build_doubtful),
    ("tab_mistakes", _build_mistakes),
    ("tab_runs", build_runs),
)

# seconds: how often old uploads are looked for, and how old they get
_DELETE_UPLOADS = (3600, 86400)

_MAX_UPLOAD = "200mb"

# of the system; a font of the web would have to be fetched
_FONTS = ("Segoe UI", "Helvetica Neue", "Arial", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif")

_NUMBER_FONTS = ("Consolas", "Menlo", "monospace")


def build_page(studio: Studio) -> gr.Blocks:
    """Return the page with all tabs."""
    with gr.Blocks(analytics_enabled=False, title=studio.say("title"), delete_cache=_DELETE_UPLOADS) as page:
        gr.Markdown(f"# {studio.say('title')}")
        for title, build in TABS:
            with gr.Tab(studio.say(title)):
                build(studio, page)
    return page


def serve(page: gr.Blocks, port: int, open_browser: bool) -> str:
    """Serve the page in threads of this process and return its address. Raises OSError if the port is taken."""
    _, address, _ = page.launch(
        server_name=ADDRESS,
        server_port=port,
        share=False,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        mcp_server=False,
        max_file_size=_MAX_UPLOAD,
        allowed_paths=[],
        footer_links=[],
        theme=gr.themes.Default(primary_hue="green", font=_FONTS, font_mono=_NUMBER_FONTS),
        css_paths=[_STYLE],
    )
    return address
