"""The texts of the page in English and Chinese."""

from collections.abc import Callable

LANGUAGES = ("en", "zh")

Say = Callable[..., str]

# key: the English and the Chinese text; what stands in braces is filled in
TEXTS: dict[str, tuple[str, str]] = {
    "title": ("Flower studio", "花卉工作室"),
    "tab_try": ("Try", "试用"),
    "tab_data": ("Data", "数据"),
    "no_model": (
        "There is no model. 'python cli/flower_cli.py studio --checkpoint P' shows one; P is a best_model.pt.",
        "没有模型。用 'python cli/flower_cli.py studio --checkpoint P' 显示模型；P 是 best_model.pt。",
    ),
    "no_data": (
        "There are no photographs. 'python cli/flower_cli.py studio --data D' shows those of a prepared folder D.",
        "没有带标签的照片。用 'python cli/flower_cli.py studio --data D' 显示 prepare-data 生成的文件夹 D。",
    ),
    "model_line": ("Model {name}, {classes} classes, on {device}", "模型 {name}，{classes} 个类别，设备 {device}"),
    "one_photograph": ("A photograph", "一张照片"),
    "camera": ("Camera", "摄像头"),
    "folder": ("A folder of photographs", "一个照片文件夹"),
    "drop_here": ("Drop a photograph on the left.", "请把照片拖到左边。"),
    "unreadable": ("{name}: this image cannot be read: {reason}.", "{name}：无法读取这张图片：{reason}。"),
    "recovered": ("The file is damaged; it was read as far as it goes.", "文件已损坏，只读取了可用的部分。"),
    "best_classes": ("The most probable classes", "最可能的类别"),
    "example": ("a training photograph of {name}", "{name} 的训练照片"),
    "heat_map": ("Where the model looks", "模型关注的位置"),
    "no_heat_map": ("This model gives no heat map.", "这个模型没有热力图。"),
    "seen": ("What the model sees", "模型看到的图片"),
    "milliseconds": (
        "{taken:.0f} ms for this photograph; the contest allows {limit:.0f} ms.",
        "这张照片用时 {taken:.0f} 毫秒；比赛允许 {limit:.0f} 毫秒。",
    ),
    "not_the_judges": ("A CPU is not the judges' hardware.", "CPU 不是评委的硬件。"),
    "views": ("The answer to each view", "每种视图的答案"),
    "view": ("View", "视图"),
    "class": ("Class", "类别"),
    "confidence": ("Confidence", "置信度"),
    "file": ("File", "文件"),
    "download_csv": ("Download as CSV", "下载 CSV"),
    "folder_done": (
        "{count} files, of which {failed} cannot be read.",
        "共 {count} 个文件，其中 {failed} 个无法读取。",
    ),
    "understood": ("What prepare-data understood", "prepare-data 的理解"),
    "no_summary": (
        "This folder has no summary.json: prepare-data has not made it.",
        "这个文件夹没有 summary.json：它不是 prepare-data 生成的。",
    ),
    "images": ("Images", "图片"),
    "classes": ("Classes", "类别"),
    "images_per_class": ("Images per class", "每类图片数"),
    "per_class_value": ("{min} to {max}, median {median:g}", "{min} 至 {max}，中位数 {median:g}"),
    "sizes": ("Image sizes", "图片尺寸"),
    "sizes_value": (
        "{different} different; shorter side {shorter_side_min} to {shorter_side_max} pixels; most often {common}",
        "{different} 种；短边 {shorter_side_min} 至 {shorter_side_max} 像素；最常见 {common}",
    ),
    "same_bytes": ("Groups of equal files", "相同文件的组"),
    "layout": ("Layout", "结构"),
    "tables": ("Tables", "表格"),
    "parts": ("Parts", "部分"),
    "part_value": ("{name}: {images} images, {labelled} with a label", "{name}：{images} 张图片，{labelled} 张有标签"),
    "left_out": ("Left out", "未使用"),
    "notes": ("Notes", "备注"),
    "class_list": ("Classes and photographs", "类别和照片"),
    "all_classes": ("All classes, one photograph each", "所有类别，每类一张"),
    "page_of": ("Page {page} of {pages}", "第 {page} 页，共 {pages} 页"),
    "earlier": ("Back", "上一页"),
    "later": ("Next", "下一页"),
    "count": ("{count} images", "{count} 张图片"),
    "duplicates": ("Near-duplicates", "近似重复的图片"),
    "find_duplicates": ("Search for near-duplicates", "查找近似重复的图片"),
    "duplicates_hint": (
        "The first search reads every image; later ones use what it kept in image_hashes.csv.",
        "第一次查找要读取所有图片；以后使用保存在 image_hashes.csv 里的结果。",
    ),
    "pairs_found": ("{count} pairs, the most similar first", "{count} 对，最相似的在前"),
    "same_class": ("same class", "同一类别"),
    "other_class": ("different classes", "不同类别"),
    "augmentation": ("Augmentation", "数据增强"),
    "strength": ("Strength", "强度"),
    "chance": ("How often each step is applied (0 never, 1 always)", "每个步骤的使用概率（0 从不，1 总是）"),
    "show_augmented": ("Show", "显示"),
    "sheet": (
        "Left: the photograph. Then: what training sees in six epochs.",
        "最左是照片，其余是训练在六个轮次中看到的图片。",
    ),
    "save_as": ("Save as", "另存为"),
    "save_hint": ("A new name, such as mine", "新的名称，例如 mine"),
    "save": ("Save", "保存"),
    "saved": ("Written: {path}. Train with augmentation={name}.", "已写入：{path}。训练时使用 augmentation={name}。"),
}


def texts_in(language: str) -> Say:
    """Return a function that gives the text of a key in `language`, with its braces filled in.

    `language` is one of `LANGUAGES`, the key one of `TEXTS`.
    """
    place = LANGUAGES.index(language)

    def say(key: str, /, **values: object) -> str:
        return TEXTS[key][place].format(**values)

    return say
