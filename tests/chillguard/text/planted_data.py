"""Texts with planted personal data, plain and hidden, and clean ones that look like it.

Values come from Faker where it has them; all are invented and checked digits are right. Written
before the patterns that are held against it, and not to be fitted to them afterwards.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import faker
from stdnum import luhn

CHINA, TAIWAN, WORLD = faker.Faker("zh_CN"), faker.Faker("zh_TW"), faker.Faker("en_US")
Make = Callable[[random.Random], str]


@dataclass(frozen=True)
class Plant:
    """A text, the value that was planted in it, and how it was planted."""

    kind: str
    value: str
    text: str


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def mobile(rng: random.Random) -> str:
    return CHINA.phone_number()


def grouped(number: str, mark: str) -> str:
    return mark.join((number[:3], number[3:7], number[7:]))


def plain_mobile(rng: random.Random) -> str:
    number = mobile(rng)
    forms = [number, grouped(number, " "), grouped(number, "-"), f"+86 {number}", f"+86{number}"]
    return rng.choice(forms)


def landline(rng: random.Random) -> str:
    code, size = rng.choice([("010", 8), ("021", 8), ("0571", 8), ("0755", 8), ("0531", 8)])
    tail = rng.choice("68") + digits(rng, size - 1)
    return rng.choice([f"{code}-{tail}", f"({code}) {tail}", f"（{code}）{tail}", f"{code} {tail}"])


def abroad(rng: random.Random) -> str:
    tail = digits(rng, 8)
    return rng.choice(
        [
            f"+852 6{tail[:3]} {tail[3:7]}",
            f"+852-9{tail[:7]}",
            f"+853 66{tail[:2]} {tail[2:6]}",
            f"09{tail[:2]}-{tail[2:5]}-{tail[5:]}",
            f"+886 9{tail[:2]} {tail[2:5]} {tail[5:]}",
            f"+1 202-555-01{tail[:2]}",
        ]
    )


def resident_id(rng: random.Random) -> str:
    return CHINA.ssn()


def old_resident_id(rng: random.Random) -> str:
    number = CHINA.ssn()
    return f"{number[:6]}{rng.randint(40, 85)}{number[10:17]}"


def hong_kong_id(rng: random.Random) -> str:
    letter, number = rng.choice("ABCDEGHKPRVYZ"), digits(rng, 6)
    weights = [9 * 36, 8 * (ord(letter) - 55)]
    total = sum(weights) + sum(int(d) * w for d, w in zip(number, range(7, 1, -1), strict=True))
    return f"{letter}{number}({'0123456789A'[-total % 11]})"


def taiwan_id(rng: random.Random) -> str:
    return TAIWAN.ssn()


def macau_id(rng: random.Random) -> str:
    return f"{rng.choice('157')}{digits(rng, 6)}({digits(rng, 1)})"


def bank_card(rng: random.Random) -> str:
    if rng.random() < 0.3:
        number = WORLD.credit_card_number(card_type=rng.choice(["visa16", "mastercard"]))
    else:
        body = rng.choice(["6222", "6217", "6228", "6230"]) + digits(rng, rng.choice([11, 14]))
        number = body + luhn.calc_check_digit(body)
    if rng.random() < 0.4:
        return " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    return number


def mail(rng: random.Random) -> str:
    name = WORLD.user_name()
    domain = rng.choice(["qq.com", "163.com", "gmail.com", "example.com.cn", "126.com"])
    return rng.choice([f"{name}@{domain}", WORLD.email(), f"{number_account(rng)}@qq.com"])


def number_account(rng: random.Random) -> str:
    return rng.choice("123456789") + digits(rng, rng.randint(6, 9))


def letter_account(rng: random.Random) -> str:
    return f"{WORLD.first_name().lower()[:8]}{rng.choice(['_', '', '-'])}{digits(rng, 4)}"


def plate(rng: random.Random) -> str:
    head = rng.choice("京沪粤川浙苏鲁豫") + rng.choice("ABCEFG") + rng.choice(["", "·", " ", "-"])
    letter = rng.choice("ABCEFGHJKLMN")
    tail = rng.choice([digits(rng, 5), f"{letter}{digits(rng, 4)}", f"D{digits(rng, 5)}"])
    return head + tail


def coordinates(rng: random.Random) -> str:
    east, north = rng.uniform(85, 125), rng.uniform(22, 45)
    forms = [
        "{1:.6f},{0:.6f}",
        "{0:.6f}, {1:.6f}",
        "北纬{1:.5f}，东经{0:.5f}",
        "{1:.4f}°N {0:.4f}°E",
    ]
    return rng.choice(forms).format(east, north)


def permit(rng: random.Random) -> str:
    cue, number = rng.choice(
        [
            ("港澳通行证", f"C{digits(rng, 8)}"),
            ("港澳通行证号码", f"CA{digits(rng, 7)}"),
            ("往来港澳通行证：", f"W{digits(rng, 8)}"),
            ("台胞证", digits(rng, 8)),
            ("台胞证号", digits(rng, 8)),
            ("回乡证", f"H{digits(rng, 8)}"),
            ("回乡证号码是", f"M{digits(rng, 8)}"),
        ]
    )
    return cue + number


def district_address(rng: random.Random) -> str:
    return CHINA.address().rsplit(" ", 1)[0]


def street(rng: random.Random) -> str:
    return CHINA.street_name() + f"{rng.randint(1, 999)}号"


def estate(rng: random.Random) -> str:
    name = rng.choice(["锦绣", "幸福", "翠湖", "金色", "阳光", "东方"])
    return name + rng.choice(["花园", "家园", "小区", "新村", "名苑", "公寓", "华庭"])


def room(rng: random.Random) -> str:
    house, stair = rng.randint(1, 30), rng.randint(1, 5)
    number = rng.randint(1, 28) * 100 + rng.randint(1, 6)
    return rng.choice(
        [
            f"{house}栋{stair}单元{number}室",
            f"{house}栋{stair}单元{number}",
            f"{house}号楼{number}室",
            f"{house}栋{number}",
            f"{house}-{stair}-{number}",
            f"{house}幢{number}室",
        ]
    )


def housing_block(rng: random.Random) -> str:
    return estate(rng) + room(rng)


def street_and_room(rng: random.Random) -> str:
    return street(rng) + rng.choice(["", estate(rng)]) + room(rng)


def taiwan_address(rng: random.Random) -> str:
    cities = ["臺北市信義區", "新北市板橋區", "臺中市西屯區", "高雄市前鎮區"]
    roads = ["中山路", "民生東路", "復興街", "忠孝路"]
    section = rng.choice(["", "一段", "二段", "3段"])
    floor = rng.choice(
        ["", f"{rng.randint(2, 12)}樓", f"{rng.randint(2, 12)}樓之{rng.randint(1, 5)}"]
    )
    return f"{rng.choice(cities)}{rng.choice(roads)}{section}{rng.randint(1, 300)}號{floor}"


def name(rng: random.Random) -> str:
    return CHINA.name()


NUMBER_CARRIERS = [
    "我的电话是{}，晚上再打。",
    "有事打{}找我就行",
    "麻烦把快递放门口，{}",
    "帮我润色：请致电{}预约参观。",
    "{} 这个号还能用吗？",
]
ID_CARRIERS = [
    "我的证件号是{}，帮我看看生肖",
    "身份证{}，怎么查户籍？",
    "登记一下：{}。",
    "{} 这串能过审吗",
]
CARD_CARRIERS = [
    "把房租打到{}这张卡上",
    "卡号{}，工商银行",
    "我的银行卡是 {}。",
    "{} 是哪家银行的卡？",
]
MAIL_CARRIERS = ["写信到{}吧", "我的邮箱是{}，有空联系", "{} 收到请回复", "把简历发给{}谢谢"]
PLACE_CARRIERS = [
    "我家住在{}，周末来玩",
    "收货地址：{}",
    "请寄到{}。",
    "帮忙送到{}，谢谢",
    "地址是{}",
]

PLAIN: dict[str, tuple[Make, list[str]]] = {
    "mobile": (plain_mobile, NUMBER_CARRIERS),
    "landline": (landline, NUMBER_CARRIERS),
    "phone abroad": (abroad, NUMBER_CARRIERS),
    "resident id": (resident_id, ID_CARRIERS),
    "old resident id": (old_resident_id, ID_CARRIERS[:2]),
    "Hong Kong id": (hong_kong_id, ID_CARRIERS),
    "Taiwan id": (taiwan_id, ID_CARRIERS[:3]),
    "Macau id": (macau_id, ["澳门身份证{}", "我的澳门身份证号码是{}，过期了"]),
    "bank card": (bank_card, CARD_CARRIERS),
    "mail": (mail, MAIL_CARRIERS),
    "WeChat": (letter_account, ["加我微信{}", "微信号：{}，备注来意", "我的vx是{}", "wx:{}"]),
    "QQ": (number_account, ["QQ{}", "我的QQ号是{}", "加扣扣：{}，发你", "qq群 {} 进来聊"]),
    "passport": (lambda rng: f"E{digits(rng, 8)}", ["护照号{}", "我的护照是{}，快到期了"]),
    "permit": (permit, ["{}，今天到期", "我的{}，能续吗？"]),
    "plate": (plate, ["车牌{}挡路了", "麻烦{}的车主挪一下", "看见一辆{}。"]),
    "IPv4": (lambda rng: WORLD.ipv4_public(), ["我的IP是{}", "从{}登录的，查一下", "ping {} 不通"]),
    "IPv6": (lambda rng: f"2409:{WORLD.ipv6().split(':', 1)[1]}", ["地址{}连不上", "我的IPv6：{}"]),
    "MAC": (lambda rng: WORLD.mac_address(), ["网卡是{}", "MAC地址：{}，帮我绑定"]),
    "coordinates": (coordinates, ["我在{}，来接我", "坐标{}。", "定位：{}"]),
    "address, district": (district_address, PLACE_CARRIERS),
    "address, street": (street, PLACE_CARRIERS),
    "address, street and room": (street_and_room, PLACE_CARRIERS),
    "address, housing block": (housing_block, PLACE_CARRIERS),
    "address, Taiwan": (taiwan_address, [*PLACE_CARRIERS, "住址：{}", "包裹請寄到{}"]),
    "name": (
        name,
        ["收件人：{}，电话13800138000", "联系人：{}", "收货人：{}\n尽快发货", "{} 13800138000"],
    ),
    "handle": (lambda rng: f"@小河{digits(rng, 3)}", ["看 {} 的动态", "{} 你好", "感谢{}：辛苦了"]),
}


def planted(seed: int, count: int, kinds: dict[str, tuple[Make, list[str]]]) -> Iterator[Plant]:
    """`count` texts, the kinds in turn."""
    rng = random.Random(seed)
    for place in (CHINA, TAIWAN, WORLD):
        place.seed_instance(seed)
    names = list(kinds)
    for number in range(count):
        kind = names[number % len(names)]
        make, carriers = kinds[kind]
        value = make(rng)
        yield Plant(kind, value, rng.choice(carriers).format(value))
