"""How much planted personal data is found, and how often ordinary text is taken for it.

All planted values are invented; those that have a check digit get a right one.
"""

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from stdnum import luhn
from stdnum.cn import ric

from chillguard.text import personal_data
from tests.chillguard import builders

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "data" / "review_corpus.jsonl.gz"
ROWS = 1000


def _digits(rng, count):
    return "".join(rng.choices("0123456789", k=count))


def _id_card(rng):
    region = rng.choice(["110101", "310115", "440305", "510104", "330106"])
    day = f"{rng.randint(1950, 2005)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    body = region + day + _digits(rng, 3)
    return body + ric.calc_check_digit(body + "0")


def _old_id_card(rng):
    day = f"{rng.randint(50, 80)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    return f"{rng.choice(['110101', '440305'])}{day}{_digits(rng, 3)}"


def _bank_card(rng):
    body = "62" + _digits(rng, rng.choice([13, 16]))
    number = body + luhn.calc_check_digit(body)
    if len(number) == 16 and rng.random() < 0.5:
        return " ".join(number[i : i + 4] for i in range(0, 16, 4))
    return number


def _phone(rng):
    tail = _digits(rng, 8)
    forms = ["139{0}", "139 {1} {2}", "139-{1}-{2}", "+86 139{0}", "021-6{3}", "(010)6{3}"]
    return rng.choice(forms).format(tail, tail[:4], tail[4:], tail[1:])


def _email(rng):
    name, domain = rng.choice(["li.si", "w_2024", "hua"]), rng.choice(["com", "com.cn"])
    return f"{name}{_digits(rng, 2)}@example.{domain}"


def _address(rng):
    region = rng.choice(
        ["北京市朝阳区", "上海浦东新区", "浙江省杭州市西湖区", "成都市锦江区", "广东省深圳市"]
    )
    street = rng.choice(["青松路", "银杏大道", "梧桐巷", "和风街"]) + f"{rng.randint(1, 999)}号"
    estate = rng.choice(["青松小区", "银杏花园", "和风公寓"])
    room = (
        f"{rng.randint(1, 30)}{rng.choice('栋幢')}{rng.randint(1, 4)}单元{rng.randint(101, 2805)}室"
    )
    return rng.choice(
        [region + street, region + street + estate + room, street + room, estate + room]
    )


def _plate(rng):
    head = rng.choice("京沪粤川浙") + rng.choice("ABCEG") + rng.choice(["", "·", " "])
    return head + rng.choice(
        [_digits(rng, 5), f"{rng.choice('DF')}{_digits(rng, 5)}", f"K{_digits(rng, 4)}"]
    )


def _wechat(rng):
    return f"{rng.choice(['hao', 'xiaohe', 'w-'])}{rng.choice(['_', ''])}{_digits(rng, 6)}"


def _name(rng):
    return rng.choice("王李张刘陈杨赵黄周吴") + rng.choice(
        ["小明", "芳", "建国", "雨桐", "女士", "先生"]
    )


# Kind: how a value is made, and the words it stands in.
PLANTS = {
    "<ID_CARD>": (_id_card, ["身份证号是{}", "证件{}", "{}"]),
    "<ID_CARD> old": (_old_id_card, ["身份证号是{}", "旧证件号：{}"]),
    "<BANK_CARD>": (_bank_card, ["卡号{}", "打到{}这张卡", "{}"]),
    "<PHONE>": (_phone, ["电话是{}", "打{}找我", "{}"]),
    "<EMAIL>": (_email, ["邮箱{}", "写信到{}吧", "{}"]),
    "<ADDRESS>": (_address, ["地址：{}", "家住{}", "寄到{}", "我住在{}附近"]),
    "<PLATE>": (_plate, ["车牌{}", "开{}的那位", "{}"]),
    "<SOCIAL_ID>": (_wechat, ["微信：{}", "加我vx {}", "微信号是{}"]),
    "<SOCIAL_ID> number": (lambda rng: "5" + _digits(rng, 8), ["QQ{}", "QQ号：{}", "扣扣 {}"]),
    "<PASSPORT>": (lambda rng: "E" + _digits(rng, 8), ["护照号{}", "通行证号码是{}"]),
    "<HANDLE>": (lambda rng: f"@小河{_digits(rng, 3)}", ["看 {} 的动态", "{} 你好"]),
    "<NAME>": (_name, ["收件人：{}，电话13900000000", "{} 13900000000", "联系{}，手机13900000000"]),
}


def _planted():
    rng = random.Random(7)
    kinds = list(PLANTS)
    for number in range(ROWS):
        kind = kinds[number % len(kinds)]
        make, forms = PLANTS[kind]
        value = make(rng)
        around = builders.mixed(number, words=8)
        yield kind, value, f"{around[:9]}，{rng.choice(forms).format(value)}。{around[9:]}"


def test_of_planted_personal_data_98_percent_is_found_and_named_by_its_kind():
    tried, found = Counter(), Counter()
    for kind, value, text in _planted():
        clean = personal_data.replace(text)
        tried[kind] += 1
        found[kind] += value not in clean and kind.split()[0] in clean
    print({kind: f"{found[kind]}/{tried[kind]}" for kind in tried})  # noqa: T201
    assert tried.total() == ROWS
    assert found.total() >= 0.98 * ROWS
    assert all(found[kind] >= 0.95 * tried[kind] for kind in tried)


def test_what_stands_around_planted_data_is_untouched():
    for number in range(ROWS):
        text = builders.mixed(number, words=8)
        assert personal_data.replace(text) == text


def test_a_second_pass_finds_nothing_more():
    for _, _, text in _planted():
        clean = personal_data.replace(text)
        assert personal_data.replace(clean) == clean


@pytest.mark.shared
@pytest.mark.skipif(not CORPUS.exists(), reason="there is no shared/data/review_corpus.jsonl.gz")
def test_of_74760_reviews_at_most_one_in_two_hundred_is_changed():
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    changed = [clean for text in texts if (clean := personal_data.replace(text)) != text]
    print(f"{len(changed)} of {len(texts)}", personal_data.replaced(changed))  # noqa: T201
    assert len(changed) <= 0.005 * len(texts)
    assert all(personal_data.replace(clean) == clean for clean in changed)
