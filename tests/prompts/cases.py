"""Values for every template, and for each of its variants."""

from chillguard import taxonomy
from chillguard.labeling import report
from chillguard.release import audit, card

TAXONOMY = taxonomy.parse(
    {
        "name": "small",
        "version": "1",
        "macro": [
            {
                "code": "A",
                "label_zh": "大类甲",
                "label_en": "Macro A",
                "definition_zh": "甲的定义。",
                "preamble_zh": "甲的前言。",
                "micro": [
                    {
                        "code": f"A{n}",
                        "label_zh": f"小类甲{n}",
                        "label_en": f"Micro A{n}",
                        "definition_zh": f"甲{n}的定义。",
                    }
                    for n in (1, 2)
                ],
            },
            {
                "code": "B",
                "label_zh": "大类乙",
                "label_en": "Macro B",
                "definition_zh": "乙的定义。",
                "micro": [
                    {
                        "code": "B1",
                        "label_zh": "小类乙1",
                        "label_en": "Micro B1",
                        "definition_zh": "乙1的定义。",
                    }
                ],
            },
        ],
    },
    "small.yaml",
)
RELEASE = {
    "version": "0123456789ab",
    "previous_version": None,
    "n_train": 1200,
    "n_test": 300,
    "n_added": 1500,
    "n_removed": 0,
    "n_relabeled": 0,
}
DOCUMENT = {
    "release": RELEASE,
    "provenance": card.Provenance("small", {"expander": "m@1", "juror_1": "n@2"}, offline=True),
    "taxonomy": TAXONOMY,
    "size": "1K<n<10K",
    "composition": [("train", "rag", 500, 700, 1200), ("test", "rag", 100, 200, 300)],
    "categories": [("A1", "Micro A1", 700, 200, 0.222), ("safe", "Safe", 500, 100, None)],
    "test_share": 0.2,
    "gaps": ["Fewer than 20 Test rows: B2."],
    "funnel": [("clean_prompts", 2000, 1500, 500, "exact 300, near 200")],
    "jury": [("juror_1", "n@2", 600, 890, 10)],
    "terms": [("rag", 1500, 0)],
    "quality": [
        report.Section("Jurors", "What it means.", ("juror", "bias"), [("juror_1", "+1.0%")])
    ],
    "changes": {"label_flip": 2, "edited": 1, "other": 0},
    "changed_categories": [("A1", 3, 2, 1, 0)],
    "audit": None,
}
_OF_CARD = ("size", "test_share", "changes", "audit")
_LATER = {
    **DOCUMENT,
    "release": {**RELEASE, "previous_version": "ba9876543210"},
    "provenance": card.Provenance(
        "small", {"expander": "m@1"}, False, [("posts", "forum", "CC0", True, True)]
    ),
    "test_share": None,
    "audit": audit.Report(400, 380, 7, 3, 2, 0.924, 0.967, 150, 120, 390, 351),
}
MODEL = {
    "release": "0123456789ab",
    "kind": "sft",
    "base": "base-model",
    "stages": 2,
    "system": "判断是否安全。",
    "user": "<text>\nPROMPT\n</text>",
    "answers": ["safe", "unsafe CODE"],
    "settings": {"learning_rate": 1e-5, "epochs": 1.0},
    "metrics": {"rows": 12, "loss": 0.25},
}
PREVIEW = {
    "prompt_id": "00ff",
    "label": "safe",
    "micro_category": None,
    "origin": "rag",
    "method": "rag",
    "text": "今天… (9 chars)",
}
_PLAIN = {
    "keywords/expand": {
        "macro": TAXONOMY.macro_of["A1"],
        "micro": TAXONOMY.micro["A1"],
        "existing": ["词一", "词二"],
        "wanted": 3,
    },
    "labeling/categorize": {"taxonomy": TAXONOMY, "text": "今天适合散步吗？"},
    "labeling/vote": {"taxonomy": TAXONOMY, "text": "今天适合散步吗？"},
    "release/report.html": {
        **{name: value for name, value in DOCUMENT.items() if name not in _OF_CARD},
        "images": {"bars": "QUJD"},
        "preview": [PREVIEW],
    },
    "translation/translate": {"text": "Is <PHONE> my number?"},
}
METHODS = (
    {"name_zh": "口语化", "description_zh": "像聊天一样说。", "instruction_zh": "用短句。"},
    {"name_zh": "书面化", "description_zh": "像写信一样说。", "instruction_zh": "写完整。"},
)
_DRAW = {
    "macro": TAXONOMY.macro_of["B1"],
    "micro": TAXONOMY.micro["B1"],
    "keywords": ("词一", "词二"),
    "texts": ["第一段。", "第二段。"],
}
_KIND = {"name_zh": "了解概念", "instruction_zh": "想弄清一个词的意思。"}
_LAYOUTS = ("json", "delimited")
_SAFE = {"label": "safe", "macro": None, "texts": ["今天适合散步吗？"]}
_UNSAFE = {**_SAFE, "label": "unsafe", "macro": TAXONOMY.macro_of["B1"]}
_REWRITES = {
    "one": {**_SAFE, "methods": METHODS[:1]},
    "several": {**_SAFE, "methods": METHODS},
    "texts": {**_SAFE, "methods": METHODS[:1], "texts": ["今天适合散步吗？", "明天呢？"]},
    "unsafe_one": {**_UNSAFE, "methods": METHODS[:1]},
    "unsafe_several": {**_UNSAFE, "methods": METHODS},
}
# Per template the values of each of its variants; a template without any has one without a name.
CASES = {name: {"": values} for name, values in _PLAIN.items()} | {
    "training/card": {
        "classifier": MODEL,
        "generator": {**MODEL, "kind": "mdpo", "system": "", "user": "", "answers": []},
    },
    "release/card": {
        "first": {**DOCUMENT, "public": False},
        "later": {**_LATER, "public": False},
        "public": {**_LATER, "public": True},
    },
    "rewriting/rewrite": {
        f"{layout}_{name}": {**shape, "layout": layout}
        for layout in _LAYOUTS
        for name, shape in _REWRITES.items()
    },
    **{
        f"training/generate_{label}": {"": {"text": "今天适合散步吗？"}}
        for label in ("safe", "unsafe")
    },
    "training/score": {
        label: {"text": "周末去哪里散步好？", "source": "今天适合散步吗？", "label": label}
        for label in ("safe", "unsafe")
    },
    "training/classify": {
        form: {
            "text": "今天适合散步吗？",
            "label": "unsafe",
            "micro_category": "B1",
            "label_format": form,
        }
        for form in ("binary", "category")
    },
    "synthesis/generate": {layout: {**_DRAW, "layout": layout} for layout in _LAYOUTS},
    "synthesis/twin": {layout: {**_DRAW, "kind": _KIND, "layout": layout} for layout in _LAYOUTS},
}
VARIANTS = [(name, variant) for name, variants in CASES.items() for variant in variants]


def values(name, variant=None):
    """Values of one variant of a template; of its first unless told."""
    variants = CASES[name]
    return variants[next(iter(variants)) if variant is None else variant]
