"""Benchmark of the personal-data pass: is its time linear in the length of a hostile text?

Each shape is a text that patterns are known to be slow on. CPU seconds of `replace` at twice the
length stand beside those at the length; the ratio may be 2.5 at most. One JSON line per figure.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from harness import figure, say

from chillguard.text import personal_data

BENCH = "personal_data"
BOUND = 2.5
SHAPES = {
    "digits and spaces": "1 ",
    "digits and marks": "1👍 3🌸",
    "at signs": "@",
    "nested brackets": "（([【{",
    "long hex": "0a1b2c:",
    "long domain": "a.b-c.",
    "Chinese numerals": "一三八〇",
    "mail heads": "a.a.a.a@",
    "spaces": " ",
    "mixed widths": "１2３a＠",
    "unseen characters": "1\u200b\ufe0f",
    "streets": "北京路1号 2",
    "phones": "13800138000 ",
    "coordinates": "39.12345,",
    "chat cues": "加v信vx薇",
    "traditional script": "樓號區",
}


def seconds(text: str, rounds: int) -> float:
    """CPU seconds of one pass, the median of some."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        personal_data.replace(text)
        taken.append(time.process_time() - start)
    return median(taken)


def main() -> int:
    """Print a figure per shape; fail if a ratio is over the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chars", type=int, default=512 * 1024)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    personal_data.replace("电话13800138000")
    slow = []
    for name, piece in SHAPES.items():
        text = piece * (2 * options.chars // len(piece) + 1)
        once = seconds(text[: options.chars], options.rounds)
        twice = seconds(text[: 2 * options.chars], options.rounds)
        against = f"CPU at {options.chars} characters: {once:.3f} s"
        metric = f"CPU of `{name}` at {2 * options.chars} characters"
        figure(metric, twice, "s", against, twice / once, options.rounds, BENCH)
        slow += [name] if twice > BOUND * once else []
    say(f"over {BOUND} times: {slow}" if slow else f"all within {BOUND} times")
    return bool(slow)


if __name__ == "__main__":
    sys.exit(main())
