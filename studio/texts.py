"""The texts of the page in English and Chinese."""

from collections.abc import Callable

LANGUAGES = ("en", "zh")

Say = Callable[..., str]

# key: the English and the Chinese text; what stands in braces is filled in
TEXTS: dict[str, tuple[str, str]] = {
    "title": ("Flower studio", "花卉工作室"),
    "tab_try": ("Try", "试用"),
    "tab_data": ("Data", "数据"),
    "tab_doubtful": ("Doubtful labels", "可疑标签"),
    "tab_mistakes": ("Mistakes", "错误"),
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
    "no_list": (
        "There is no list of doubtful labels in {folder}. This command writes it and shows how far it is:",
        "{folder} 里没有可疑标签的列表。下面的命令生成列表并显示进度：",
    ),
    "list_hint": (
        "Its small model comes with pip; another model= is possible. Then press 'Read the list again'.",
        "它的小模型随 pip 安装，也可以换成别的 model=。完成后请按“重新读取列表”。",
    ),
    "read_again": ("Read the list again", "重新读取列表"),
    "other_data": (
        "Rows of the list in {folder} that are of other data and not shown: {count}.",
        "{folder} 的列表中有 {count} 行属于别的数据，没有显示。",
    ),
    "no_doubts": ("The audit found no doubtful label.", "检查没有发现可疑标签。"),
    "decided": ("{done} of {all} decided", "已决定 {done} / {all}"),
    "skipped": ("Skipped: {count}. Skipped ones come again after all others.", "跳过了 {count} 张，最后会再次出现。"),
    "all_decided": (
        "All are decided. Training, evaluation and the audit apply corrections.csv from now on.",
        "全部决定完毕。训练、评估和检查从现在起使用 corrections.csv。",
    ),
    "given_label": ("Given: {name}, {share}", "现有标签：{name}，{share}"),
    "suggested_label": ("Suggested: {name}, {share}", "建议标签：{name}，{share}"),
    "no_examples": ("No other photograph of this class.", "这个类别没有其他照片。"),
    "reason_copy": ("the same picture has another label", "同样的图片有另一个标签"),
    "reason_model": ("the model is sure of another class", "模型确信是另一个类别"),
    "keep": ("1 Keep", "1 保留"),
    "relabel": ("2 Relabel: {name}", "2 改为：{name}"),
    "drop": ("3 Drop", "3 去除"),
    "skip": ("4 Skip", "4 跳过"),
    "undo": ("Undo (u)", "撤销 (u)"),
    "undo_last": ("Undo", "撤销"),
    "new_label": ("Class of 'Relabel'", "“改为”的类别"),
    "keys": (
        "Keys: 1 to 4 decide, u or Backspace takes back your last decision. Decisions go to corrections.csv beside "
        "train.csv; no photograph is deleted.",
        "按键：1 至 4 作决定，u 或退格键撤销您最后的决定。决定写入 train.csv 旁边的 corrections.csv，不删除任何照片。",
    ),
    "was_kept": ("{image}: the label stays.", "{image}：保留标签。"),
    "was_relabelled": ("{image}: the label is now {name}.", "{image}：标签改为 {name}。"),
    "was_dropped": ("{image}: no table uses it any more.", "{image}：不再使用。"),
    "decided_already": ("Decided already, nothing is written. {decision}", "已经有决定，没有写入。{decision}"),
    "undone": ("{name}: your decision is taken back.", "{name}：已撤销您的决定。"),
    "undone_elsewhere": (
        "{name}: your decision is not in corrections.csv any more.",
        "{name}：您的决定已不在 corrections.csv 里。",
    ),
    "no_own_answers": (
        "{folder} holds no answers of this model to the photographs here. 'python evaluate.py --checkpoint {model} "
        "--output-dir {folder}' keeps them there; the button asks the model now.",
        "{folder} 里没有这个模型对这里照片的答案。'python evaluate.py --checkpoint {model} --output-dir {folder}' "
        "会保存答案；也可以用按钮现在计算。",
    ),
    "find_mistakes": ("Ask the model about {count} validation photographs", "让模型回答 {count} 张验证照片"),
    "asking": ("Photographs", "照片"),
    "no_validation": (
        "None of the photographs here is a validation photograph of the model.",
        "这里没有模型的验证照片。",
    ),
    "mistakes_found": (
        "{count} of {images} validation photographs are answered wrongly, in {pairs} pairs of classes.",
        "{images} 张验证照片中有 {count} 张答错，涉及 {pairs} 对类别。",
    ),
    "not_judged": (
        "Further validation photographs: {count}. They are dropped, not here, unreadable, or of a class that the "
        "model does not know.",
        "其余验证照片 {count} 张：已去除、不在这里、无法读取，或类别是模型不认识的。",
    ),
    "true_or_predicted": ("Class, true or predicted", "类别（真实或预测）"),
    "every_class": ("All classes", "所有类别"),
    "mistaken_pair": ("Pair: label → answer", "类别对：标签 → 答案"),
    "every_pair": ("All pairs, the most frequent first", "所有类别对，最多的在前"),
    "answered": ("Label: {true}. Answer: {predicted}, {share}", "标签：{true}。答案：{predicted}，{share}"),
    "classes_look": ("Labelled so:", "标签类别的照片："),
    "answers_look": ("Answered so:", "答案类别的照片："),
    "wrong_label": ("Label is wrong: it is {predicted}", "标签错误：应为 {predicted}"),
    "wrong_photograph": ("Label is wrong: drop", "标签错误：去除"),
    "nothing_to_undo": (
        "This window has no decision to take back. 'python cli/flower_cli.py correct --undo' takes back the last "
        "one of the file.",
        "这个窗口没有可撤销的决定。'python cli/flower_cli.py correct --undo' 撤销文件中的最后一个决定。",
    ),
    "tab_runs": ("Runs", "训练记录"),
    "runs_below": ("{count} runs below {folder}, the newest first", "{folder} 下共有 {count} 次训练，最新的在前"),
    "no_runs": (
        "There are no runs below {folder}. 'python train.py' makes one; 'python cli/flower_cli.py studio --runs D' "
        "lists those of another folder.",
        "{folder} 下没有训练。用 'python train.py' 训练；"
        "用 'python cli/flower_cli.py studio --runs D' 列出别的文件夹。",
    ),
    "look_again": ("Look again", "刷新"),
    "run": ("Run", "训练"),
    "date": ("Date", "日期"),
    "model": ("Model", "模型"),
    "size": ("Size (px)", "尺寸（像素）"),
    "epochs": ("Epochs", "轮次"),
    "top1_corrected": ("Top-1 corrected (%)", "校正后 top-1（%）"),
    "top1_measured": ("Top-1 measured (%)", "实测 top-1（%）"),
    "minutes": ("Minutes", "分钟"),
    "state": ("State", "状态"),
    "finished": ("finished", "已完成"),
    "unfinished": ("unfinished", "未完成"),
    "unknown": ("unknown", "未知"),
    "damaged": ("damaged, see below", "已损坏，见下文"),
    "runs_note": (
        "Top-1 is that of the best epoch on the validation images. Corrected: without what the choice of that epoch "
        "flatters; only a finished run records it. Minutes: all of its epochs; with ≥, those of training alone.",
        "top-1 是最佳轮次在验证图片上的结果。校正后：去掉因挑选轮次而偏高的部分，只有完成的训练才记录。"
        "分钟：所有轮次的时间；≥ 表示只含训练的时间。",
    ),
    "compare_runs": ("Compare (at most {count})", "比较（最多 {count} 个）"),
    "choose_runs": ("Choose runs to compare them.", "请选择要比较的训练。"),
    "choose_two": ("Choose at least two runs.", "请至少选择两次训练。"),
    "curves": ("Curves", "曲线"),
    "train_loss": ("Training loss by epoch", "各轮次的训练损失"),
    "val_loss": ("Validation loss by epoch", "各轮次的验证损失"),
    "val_top1": ("Validation top-1 by epoch, %", "各轮次的验证 top-1（%）"),
    "no_curve": ("None of these runs has recorded it.", "这些训练都没有记录。"),
    "no_epoch": ("{run} (no epoch is recorded)", "{run}（没有记录任何轮次）"),
    "curves_note": (
        "Mixup, label smoothing and other losses change the training loss itself: compare it only between runs that "
        "have them alike.",
        "mixup、标签平滑和不同的损失函数会改变训练损失本身：只有这些设置相同的训练才可比较。",
    ),
    "differing_keys": ("Parameters that differ", "不同的参数"),
    "key": ("Key", "参数"),
    "same_keys": ("All keys are the same.", "所有参数都相同。"),
    "output_left_out": (
        "output_dir is left out: it is the run's own folder.",
        "不列出 output_dir：它是训练自己的文件夹。",
    ),
    "no_config": ("{run}: its config.yaml is missing or damaged.", "{run}：config.yaml 缺失或已损坏。"),
    "pairs": ("Pairs for an ensemble", "可集成的组合"),
    "pair": ("Pair", "组合"),
    "disagreement": ("Different answers", "答案不同"),
    "both_wrong": ("Both wrong", "两者都错"),
    "top1_each": ("Top-1 of each", "各自的 top-1"),
    "either_right": ("Either right (95 %)", "至少一个正确（95 %）"),
    "with_interval": ("{value} ({low:.1f} to {high:.1f})", "{value}（{low:.1f} 至 {high:.1f}）"),
    "room": ("Above the better one", "高于较好者"),
    "pairs_note": (
        "Measured on the images that evaluate.py answered for both and that neither was trained on. 'Either right' is "
        "an upper bound for choosing between the two answers, no promise: 'python evaluate.py --checkpoint P P' "
        "measures the average of both, which may also answer with a third class.",
        "只统计 evaluate.py 为两者都给出答案、且两者都没有用来训练的图片。"
        "“至少一个正确”是在两个答案中选择的上限，不是保证："
        "'python evaluate.py --checkpoint P P' 测量两者平均的结果，平均也可能给出第三个类别。",
    ),
    "no_answers": (
        "{run}: no answers of its model are recorded. This command writes them:",
        "{run}：没有记录其模型的答案。用这条命令写入：",
    ),
    "no_model_of_run": (
        "{run}: it has no readable best_model.pt yet, so there are no answers.",
        "{run}：还没有可读取的 best_model.pt，因此没有答案。",
    ),
    "no_shared": (
        "{first} + {second}: they share no answered image that neither was trained on. Train with one seed, or "
        "evaluate both with 'python evaluate.py --checkpoint P --data D' on images that both have not seen.",
        "{first} + {second}：没有两者都回答过、且都没有用来训练的共同图片。请用相同的 seed 训练，"
        "或者用 'python evaluate.py --checkpoint P --data D' 在两者都没见过的图片上评估。",
    ),
}


def texts_in(language: str) -> Say:
    """Return a function that gives the text of a key in `language`, with its braces filled in.

    `language` is one of `LANGUAGES`, the key one of `TEXTS`.
    """
    place = LANGUAGES.index(language)

    def say(key: str, /, **values: object) -> str:
        return TEXTS[key][place].format(**values)

    return say
