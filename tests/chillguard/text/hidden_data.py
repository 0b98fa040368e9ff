"""Ways in which people write personal data so that no machine finds it.

Written before the patterns that are held against it, and not to be fitted to them afterwards.
"""

import random

from tests.chillguard.text.planted_data import (
    CARD_CARRIERS,
    ID_CARRIERS,
    MAIL_CARRIERS,
    NUMBER_CARRIERS,
    PLACE_CARRIERS,
    WORLD,
    Make,
    bank_card,
    district_address,
    housing_block,
    letter_account,
    mobile,
    number_account,
    resident_id,
)

FULL_WIDTH = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)})
CIRCLED = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
BOLD = {ord(str(d)): chr(0x1D7CE + d) for d in range(10)}
CHINESE = str.maketrans("0123456789", "零一二三四五六七八九")
TELEPHONE = str.maketrans("0123456789", "洞幺两三四五六拐八九")
FORMAL = str.maketrans("0123456789", "零壹贰叁肆伍陆柒捌玖")
TRADITIONAL = str.maketrans("区号楼单栋华东园", "區號樓單棟華東園")


def joined(number: str, mark: str, step: int = 1) -> str:
    return mark.join(number[i : i + step] for i in range(0, len(number), step))


def some(rng: random.Random, number: str, marks: str, share: float = 0.4) -> str:
    """Marks between some of the digits."""
    return (
        "".join(c + (rng.choice(marks) if rng.random() < share else "") for c in number[:-1])
        + (number[-1])
    )


def mixed(rng: random.Random, number: str) -> str:
    """Some digits as Chinese numerals."""
    return "".join(c.translate(CHINESE) if rng.random() < 0.4 else c for c in number)


def keycaps(number: str) -> str:
    return "".join(f"{c}\ufe0f\u20e3" for c in number)


def phone_groups(number: str, mark: str) -> str:
    return mark.join((number[:3], number[3:7], number[7:]))


def unseen(rng: random.Random, number: str) -> str:
    return some(rng, number, "\u200b\u200c\u200d\u2060\ufeff\u00ad")


def hidden_number(rng: random.Random, number: str) -> str:
    """A way that serves for phones, ids and cards alike."""
    forms = [
        number.translate(FULL_WIDTH),
        number.translate(CIRCLED),
        number.translate(BOLD),
        number.translate(CHINESE),
        number.translate(FORMAL),
        mixed(rng, number),
        keycaps(number),
        unseen(rng, number),
        joined(number, " "),
        joined(number, "\u00a0", 4),
        joined(number, "\u3000", 4),
        joined(number, rng.choice("-._*~|/·，、"), rng.choice([1, 3, 4])),
        some(rng, number, "👍🌸✨❤"),
    ]
    return rng.choice(forms)


def hidden_mobile(rng: random.Random) -> str:
    number = mobile(rng)
    own = [
        number.translate(TELEPHONE),
        phone_groups(number, rng.choice([".", "·", "/", "_", "*", "~", "—", "\u00a0", " \u200b"])),
        number.replace("0", "O"),
        "+86\u00a0" + number,
    ]
    return rng.choice([*own, hidden_number(rng, number), hidden_number(rng, number)])


def hidden_account(rng: random.Random) -> str:
    cue = rng.choice(
        [
            *(
                "vx",
                "v信",
                "V：",
                "加v ",
                "➕v",
                "薇信",
                "薇❤",
                "威❤",
                "微❤️",
                "威芯",
                "维信",
                "徽信",
            ),
            *("加卫星 ", "V X", "v-x", "wei信", "微 信", "ＶＸ：", "薇：", "+薇 ", "weixin号"),
        ]
    )
    account = rng.choice(
        [letter_account(rng), mobile(rng), letter_account(rng).translate(FULL_WIDTH)]
    )
    return f"{cue}{account}"


def hidden_qq(rng: random.Random) -> str:
    cue = rng.choice(["扣扣", "抠抠", "球球", "Q Q", "q：", "ＱＱ", "企鹅号", "加Q", "叩叩", "Q群"])
    account = number_account(rng)
    forms = [
        account,
        account.translate(FULL_WIDTH),
        account.translate(CHINESE),
        joined(account, " "),
    ]
    return f"{cue}{rng.choice(forms)}"


def hidden_mail(rng: random.Random) -> str:
    owner = rng.choice([WORLD.user_name(), number_account(rng)])
    provider = rng.choice(["qq", "163", "gmail", "126"])
    at = rng.choice(
        ["#", " at ", "(at)", "[at]", "艾特", "圈a", " @ ", "＠", "（at）", "＃", "@\u200b"]
    )
    dot = rng.choice([".", "点", "。", " dot ", "[.]", "(dot)", "．", " . "])
    return f"{owner}{at}{provider}{dot}com"


def hidden_place(rng: random.Random) -> str:
    place = rng.choice([district_address, housing_block])(rng)
    forms = [
        place.translate(TRADITIONAL),
        place.translate(FULL_WIDTH),
        place.translate(CHINESE),
        place.translate(CIRCLED),
        unseen(rng, place),
        joined(place, " ", 4),
    ]
    return rng.choice(forms)


def hidden_ip(rng: random.Random) -> str:
    return WORLD.ipv4_public().replace(".", rng.choice(["[.]", "。", "．", " . ", "点"]))


HIDDEN: dict[str, tuple[Make, list[str]]] = {
    "mobile": (hidden_mobile, NUMBER_CARRIERS),
    "mobile again": (hidden_mobile, NUMBER_CARRIERS),
    "resident id": (lambda rng: hidden_number(rng, resident_id(rng)), ID_CARRIERS),
    "bank card": (lambda rng: hidden_number(rng, bank_card(rng).replace(" ", "")), CARD_CARRIERS),
    "WeChat": (hidden_account, ["{}，备注来意", "资料在我这里，{}", "{} 聊聊"]),
    "QQ": (hidden_qq, ["{}，发你资料", "想要的{}", "{} 聊聊"]),
    "mail": (hidden_mail, MAIL_CARRIERS),
    "address": (hidden_place, PLACE_CARRIERS),
    "IP": (hidden_ip, ["我的IP是{}", "服务器{}连不上"]),
}
