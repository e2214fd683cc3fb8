"""The tab Try: one photograph with its reasons, or a folder as a table."""

import tempfile
from pathlib import Path

import gradio as gr

from studio import html_parts as html
from studio.context import Studio
from studio.paging import QUIET


def build_try(studio: Studio, _page: gr.Blocks) -> None:
    """Add the widgets of the tab to the open page."""
    say, pipeline = studio.say, studio.pipeline
    if pipeline is None:
        gr.HTML(html.note(say("no_model")))
        return
    # they import torch, which a page without a model does not wait for
    from studio.answers import answer_files, write_answers
    from studio.try_view import file_rows, photograph_html

    model = pipeline.members[0].checkpoint.config["model"]["name"]
    gr.HTML(html.note(say("model_line", name=model, classes=len(pipeline.classes), device=pipeline.device)))

    def answer(path: str | None) -> str:
        return photograph_html(studio, pipeline, path)

    def answer_folder(paths: list[str] | None) -> tuple[dict, str, dict]:
        answers = answer_files(pipeline, paths or [])
        if not answers:
            return gr.update(visible=False), "", gr.update(visible=False)
        failed = sum(1 for found in answers if found.image_class is None)
        # a folder of its own, because two visitors may ask at once
        file = Path(tempfile.mkdtemp(dir=studio.results / "cache")) / "predictions.csv"
        write_answers(file, answers)
        told = html.note(say("folder_done", count=len(answers), failed=failed))
        return gr.update(value=file_rows(studio, answers), visible=True), told, gr.update(value=str(file), visible=True)

    with gr.Row():
        with gr.Column(scale=1, min_width=260):
            # gr.Image would refuse unusual files itself, with a message of its own
            photograph = gr.File(label=say("one_photograph"), height=180, elem_id="photograph")
            with gr.Accordion(say("camera"), open=False):
                camera = gr.Image(sources=["webcam"], type="filepath", label=say("camera"))
        with gr.Column(scale=3, min_width=420):
            shown = gr.HTML(html.note(say("drop_here")), elem_id="answer")
    photograph.change(answer, photograph, shown, **QUIET)
    camera.change(answer, camera, shown, **QUIET)
    with gr.Accordion(say("folder"), open=False):
        folder = gr.File(label=say("folder"), file_count="directory", height=140, elem_id="folder")
        told = gr.HTML()
        headers = [say("file"), say("class"), say("confidence")]
        rows = gr.Dataframe(headers=headers, visible=False, interactive=False, wrap=True, elem_id="folder-rows")
        download = gr.DownloadButton(say("download_csv"), visible=False, elem_id="folder-csv")
    folder.change(answer_folder, folder, [rows, told, download], **QUIET)
