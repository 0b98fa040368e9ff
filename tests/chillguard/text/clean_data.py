"""Texts without personal data that look as if they had some.

Written before the patterns that are held against it, and not to be fitted to them afterwards.
"""

import random
from collections.abc import Iterator

from tests.chillguard.text.planted_data import CHINA, WORLD, digits


def _number(rng: random.Random, size: int) -> str:
    return rng.choice("123456789") + digits(rng, size - 1)


def _day(rng: random.Random) -> str:
    return f"20{rng.randint(18, 26)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"


def order(rng: random.Random) -> str:
    number = rng.choice(
        [
            _number(rng, 10),
            _number(rng, 12),
            _number(rng, 18),
            _number(rng, 19),
            _day(rng) + digits(rng, 10),
        ]
    )
    forms = [
        "订单号{}什么时候发货？",
        "我的订单{}还没到",
        "查一下编号{}的进度",
        "流水号：{}，金额对不上",
    ]
    return rng.choice(forms).format(number)


def timestamp(rng: random.Random) -> str:
    number = f"1{rng.randint(4, 7)}{digits(rng, 11)}"
    forms = ["时间戳{}是哪一天？", '{{"ts": {}}}', "把 {} 转成日期", "long now = {}L;"]
    return rng.choice(forms).format(number if rng.random() < 0.7 else number[:10])


def parcel(rng: random.Random) -> str:
    forms = ["快递单号SF{}到哪了", "运单 YT{} 查询", "单号{}，已签收"]
    return rng.choice(forms).format(_number(rng, 13))


def isbn(rng: random.Random) -> str:
    number = rng.choice([WORLD.isbn13(), WORLD.isbn10(), WORLD.isbn13(separator="")])
    return rng.choice(["ISBN {}这本书讲什么", "书号{}，哪里买", "ISBN：{}"]).format(number)


def bare_number(rng: random.Random) -> str:
    number = _number(rng, rng.choice([6, 7, 8, 9, 10, 10, 12, 13, 14]))
    return rng.choice(["{}是质数吗？", "计算{}除以7", "把{}写成大写金额", "用户编号 {}"]).format(
        number
    )


def code(rng: random.Random) -> str:
    number = rng.randint(1000, 99999)
    forms = [
        "@property\ndef size(self):\n    return {0}",
        "@app.route('/items/{0}')\ndef items(): ...",
        "for (int i = 0; i < {0}; i++) sum += a[i] * 31;",
        "@Override\npublic int hashCode() {{ return {0}; }}",
        "npm install @types/node@20.{1}.0",
        "print(0x{0:08x}, {0} * 1000003)",
        "color: #{0:06x}; @media (max-width: {0}px) {{}}",
        "SELECT * FROM t WHERE id = {0} AND ts > 1609459200;",
        "git checkout {2}",
        "UUID {3} 重复了",
        "curl http://127.0.0.1:8080/v1/items/{0}",
        "C#里的 a#b 是什么，.com 文件呢",
    ]
    return rng.choice(forms).format(number, number % 20, WORLD.sha1(), WORLD.uuid4())


def hotline(rng: random.Random) -> str:
    forms = [
        "客服热线400-820-8820几点下班？",
        "拨打12345投诉有用吗",
        "遇到危险请打110或者120",
        "打95588转人工",
        "全国服务热线 400 610 1234",
        "800-810-8888是什么电话",
        "心理援助热线12356",
        "10086怎么查话费，10010呢",
        "消费者投诉打12315，{}",
    ]
    return rng.choice(forms).format(CHINA.word())


def mention(rng: random.Random) -> str:
    task = rng.choice(["写一首诗", "翻译这句话", "算一下房贷", "总结这篇文章", "做个旅行计划"])
    kept = [
        "@所有人 明天{}点开会",
        "@全体成员 请{}点前交周报",
        "@everyone meeting at {}",
        "请@所有人，{}点集合",
    ]
    if rng.random() < 0.6:
        return rng.choice(kept).format(rng.randint(8, 20))
    return f"每斤{rng.randint(2, 30)}元 @ 第{rng.randint(1, 9)}摊，顺便{task}"


def price(rng: random.Random) -> str:
    forms = [
        "一共{0},{1:03d},{1:03d}元，打{2}折多少",
        "原价{0}.{2}元，现价{1}元",
        "房价{1}万到{0}万，首付3成",
        "身高1{2}{3}cm，体重{0}斤",
        "股价从{0}.{2}{3}涨到{1}.{2}{3}",
        "预算 13,800,138,000 元够不够",
    ]
    return rng.choice(forms).format(
        rng.randint(10, 99), rng.randint(100, 999), rng.randint(1, 9), rng.randint(0, 9)
    )


def version(rng: random.Random) -> str:
    forms = [
        "Python 3.{0}.{1}和3.{1}有什么区别",
        "Chrome 1{0:02d}.0.6{1:03d}.{0}更新了什么",
        "固件V{0}.{1}.2.1怎么升级",
        "版本号 10.{0}.{1}.3",
        "第{0}.{1}.3.2节讲了什么",
        "iOS {0}.{1}.1 耗电",
    ]
    return rng.choice(forms).format(rng.randint(1, 19), rng.randint(1, 15))


def date(rng: random.Random) -> str:
    day = CHINA.date_time()
    forms = [
        "%Y-%m-%d %H:%M:%S",
        "%Y年%m月%d日 %H:%M",
        "%Y/%m/%d",
        "%Y%m%d%H%M%S",
        "%Y.%m.%d-%H.%M",
    ]
    return rng.choice(["{}发生了什么", "会议改到{}", "日志 {} 报错"]).format(
        day.strftime(rng.choice(forms))
    )


def model(rng: random.Random) -> str:
    forms = [
        "ThinkPad X1{0} 和 RTX40{1}0 哪个好",
        "型号 BCD-{0}{1}WTPZM 的冰箱",
        "MacBook A2{0}{1} 换电池",
        "零件号 13{0}-{1}-{0} 有货吗",
        "华为Mate{1}0 参数",
        "编码 A{0}{0}{1} 的轴承",
        "微信8.0.{1}版本怎么更新",
        "QQ20{1}{1}版还能用吗",
    ]
    return rng.choice(forms).format(rng.randint(100, 999), rng.randint(1, 9))


def sequence(rng: random.Random) -> str:
    first = rng.randint(1, 30)
    forms = [
        "、".join(str(first + i) for i in range(8)) + " 的平均数是多少",
        "数列 " + ", ".join(str(first * 2 + 3 * i) for i in range(9)) + " 求通项",
        "一二三四五六七八九十，数到十",
        "彩票号码 " + " ".join(f"{rng.randint(1, 33):02d}" for _ in range(6)),
        f"1.5、2.8、3.{rng.randint(1, 9)}这三个数哪个大",
        "电话号码为什么是11位，13和15开头的有什么不同",
        f"3路公交到5号线{rng.randint(1, 8)}号口",
        "二〇二六年一月一日零点零分",
    ]
    return rng.choice(forms)


def place(rng: random.Random) -> str:
    forms = [
        "南京路步行街{}号线怎么走",
        "A座{}层有个公园，B座5楼是书店",
        "北京市朝阳区有几个街道",
        "{}号楼的电梯坏了",
        "从人民广场到虹桥路坐{}号线",
        "地址栏输入后回车，谢谢，端口{}",
        "中山路为什么到处都有，共{}条",
        "三国演义第{}回讲了什么",
    ]
    return rng.choice(forms).format(rng.randint(1, 30))


def talk(rng: random.Random) -> str:
    forms = [
        "联系人：无",
        "收件人：客服部",
        "我是{}，今天来学做菜",
        "微信红包{}元怎么发",
        "微信支付限额多少，QQ会员呢",
        "护照过期{}天怎么办",
        "威信扫地是什么意思，卫星有{}颗",
        "加V认证要{}天吗",
        "谢谢，何时发货？",
        "车牌摇号{}期结果",
    ]
    return rng.choice(forms).format(rng.randint(2, 90))


MAKERS = (
    *(order, timestamp, parcel, isbn, bare_number, code, hotline, mention),
    *(price, version, date, model, sequence, place, talk),
)


def texts(seed: int, count: int) -> Iterator[str]:
    """`count` clean texts, the makers in turn."""
    rng = random.Random(seed)
    for source in (CHINA, WORLD):
        source.seed_instance(seed)
    for number in range(count):
        yield MAKERS[number % len(MAKERS)](rng)
