"""innovation.txt: the part of the report that the team writes. It is never overwritten."""

from competition.report.document import Block, Paragraph, Subheading


def is_written(text: str) -> bool:
    """Say whether there is text besides headings and hints."""
    return any(isinstance(block, Paragraph) for block in innovation_blocks(text))


def innovation_blocks(text: str) -> list[Block]:
    """Return paragraphs (between empty lines) and subheadings (`# `); lines with `%` are hints."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    blocks: list[Block] = []
    for paragraph in "\n".join(lines).split("\n\n"):
        words = " ".join(paragraph.split())
        if words.startswith("# "):
            blocks.append(Subheading(words[2:]))
        elif words:
            blocks.append(Paragraph(words))
    return blocks


def innovation_template(language: str) -> str:
    """Return the initial content of innovation.txt: places to fill in, and what judges look for."""
    if language == "zh":
        return (
            "% 请在下面各标题下写作，空行分段；以 % 开头的行不会出现在报告中。再次运行 report 即可更新。\n\n"
            "# 方法\n\n% 与常规微调相比有何不同？为何有效？\n\n"
            "# 数据\n\n% 如何处理标签错误、重复图像与少样本类别？\n\n# 证据\n\n% 哪些实验支持上述结论？\n"
        )
    return (
        "% Write below each heading, an empty line between paragraphs; % lines do not appear. Run report again.\n\n"
        "# Method\n\n% What differs from ordinary fine-tuning, and why does it help?\n\n"
        "# Data\n\n% Label errors, duplicates, classes with few images.\n\n# Evidence\n\n% Which experiments show it?\n"
    )
