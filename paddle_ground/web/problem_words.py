"""What `check` finds, in Chinese: kinds, remedies and the line over them.

Takes a kind's code; gives words. What was found in a file (names, numbers) stays as the check says it.
"""

from __future__ import annotations

from paddle_ground.data.check.problems import KINDS, Problem, Severity
from paddle_ground.data.check.report import CheckReport
from paddle_ground.prompts import Language

SEVERITIES = {Severity.ERROR: "错误", Severity.WARNING: "警告", Severity.NOTE: "提示"}

PROBLEMS: dict[str, tuple[str, str]] = {
    "no_samples": ("没有任何样本", "用 `paddle-ground prepare` 生成样本"),
    "not_utf8": ("不是 UTF-8 文本", "把文件存为 UTF-8"),
    "bad_json": ("不是有效的 JSON", "修复或删除该行：每行一个 JSON 对象"),
    "bad_record": ("不符合 messages 格式", "每条记录都要有 messages 和 images"),
    "bad_box": ("框不是四个整数", "按模型的坐标空间写 x1, y1, x2, y2"),
    "marks_mismatch": ("占位符与数值的个数不一致", "补上缺少的，或去掉多余的占位符"),
    "turn_order": ("对话轮次的顺序不对", "system（如有）在最前，然后 user 与 assistant 交替"),
    "no_answer": ("没有可学习的回答", "每个样本以一条有内容的 assistant 消息结尾"),
    "no_image": ("样本没有图片", "写上图片，或把纯文本放进单独的数据集"),
    "wrong_space": ("框在另一种坐标空间中", "用 `paddle-ground prepare` 转换"),
    "box_outside": ("框超出图片", "在边缘处裁剪，或删除该框"),
    "box_degenerate": ("框没有面积", "先写左上角，或删除该框"),
    "box_repeated": ("同一个回答中有重复的框", "只留一个：重复会教出循环输出"),
    "many_boxes": ("一个回答中的框太多", "切分图片或限制框数：回答容易陷入循环"),
    "answer_unreadable": ("无法解析的回答", "按 `prepare` 的格式书写"),
    "answer_mended": ("修补后才能解析的回答", "按 `prepare` 的格式书写"),
    "answer_format": ("回答用了另一种格式", "一个数据集只用一种格式，即其 meta 文件所写的"),
    "answers_differ": ("图片和问题相同，回答不同", "合并，或只留一个"),
    "sample_repeated": ("样本重复", "只留一个；要多次训练请用采样"),
    "label_unusable": ("标签不能写进回答", "改成普通文字"),
    "label_variant": ("同一标签有两种写法", "统一写法"),
    "label_unknown": ("标签不在类别之中", "加入该类别，或改标签"),
    "label_conflict": ("同一个框有两个标签", "保留正确的那个"),
    "class_imbalance": ("有非常少见的类别", "重复这些图片，或再收集一些"),
    "no_negatives": ("每张图片都有目标", "加入没有目标的图片：否则模型会学会编造"),
    "image_missing": ("图片文件不存在", "放回文件，或重新准备数据"),
    "image_outside": ("图片路径在文件夹之外", "把图片移到文件夹内"),
    "image_unreadable": ("图片无法读取", "替换文件，或删除该样本"),
    "image_rotated": ("有 EXIF 旋转，训练框架会忽略", "旋转像素并去掉该标记"),
    "image_mode": ("颜色不能如实转换", "存为 8 位 RGB"),
    "image_animated": ("有多帧，只用第一帧", "只保存需要的那一帧"),
    "image_kind": ("少见的图片格式", "转成 JPEG 或 PNG"),
    "image_aspect": ("边长比超过 200:1，Qwen 不接受", "裁剪或切分图片"),
    "image_tiny": ("图片很小，训练时会被放大", "使用原始图片"),
    "image_repeated": ("同一张图片有两个名字", "只留一个，并合并其框"),
    "image_alike": ("两张图片看起来一样", "只留一张，除非确实需要"),
    "leak": ("图片也出现在另一个划分中", "从其中一个删除：否则得分不可信"),
    "leak_alike": ("与另一个划分中的图片看起来一样", "从其中一个删除"),
    "meta_missing": ("样本旁没有 meta 文件", "用本工具准备数据"),
    "meta_unreadable": ("meta 文件无法读取", "重新准备数据"),
    "meta_stale": ("样本在写 meta 文件之后改过", "重新准备，或删除 meta 文件"),
    "space_differs": ("框所在的坐标空间不是该模型的", "为该模型准备数据"),
    "format_differs": ("回答的格式不是模型微调时的", "只用一种格式"),
    "truth_missing": ("没有真值文件，`eval` 无法评分", "用本工具准备数据"),
    "truth_unreadable": ("真值文件无法读取", "重新准备数据"),
    "truth_lacks_image": ("真值中没有这张图片", "重新准备数据"),
    "truth_size": ("图片尺寸与真值不符", "重新准备数据"),
    "truth_differs": ("框与真值不符", "重新准备数据"),
    "too_long": ("超过 max_seq_len，训练时会跳过", "调大该值，或缩短样本"),
    "image_shrunk": ("图片超过像素上限，会被缩小", "调大 image_max_pixels，或切分图片"),
}
"""Code -> what it is, what to do."""


def problem_row(problem: Problem, language: Language) -> list[str]:
    """Give a problem as a row: severity, what, where, found, remedy.

    Args:
        problem: As the check found it.
        language: Of severity, kind and remedy.
    """
    kind = KINDS[problem.code]
    severity, title, remedy = kind.severity.value, kind.title, kind.remedy
    if language == "zh":
        severity, (title, remedy) = SEVERITIES[kind.severity], PROBLEMS[kind.code]
    return [severity, title, problem.where, problem.message, remedy]


def verdict(report: CheckReport, language: Language) -> str:
    """Say in one line what a check found.

    Args:
        report: Of the check.
        language: Of the line.
    """
    if language == "en":
        return report.verdict()
    numbers = report.numbers
    found = [f"{count} 个{SEVERITIES[one]}" for one in Severity if (count := report.count(one))]
    held = f"{numbers.samples} 个样本、{numbers.images} 张图片、{numbers.boxes} 个框"
    return f"{report.path}：{held}；{'、'.join(found) or '没有问题'}"
